use super::*;
use crate::kernels::largest_difference;

const SIZES: Sizes = Sizes { seq_len: 150, n_head: 6, headdim: 5, n_groups: 2, d_state: 7 };
const FORMS: [SsdForm; 2] = [SsdForm::Sequential, SsdForm::Chunked];

/// The recurrence in f64, one number at a time.
fn equation(s: &Ssd<'_>) -> (Vec<f32>, Vec<f32>) {
    let mut h: Vec<f64> = s.state.cpu().iter().map(|&v| v as f64).collect();
    let mut y = Vec::new();
    for t in 0..s.x.rows {
        for row in 0..s.n_head * s.headdim {
            let head = row / s.headdim;
            let group = head * s.n_groups / s.n_head;
            let raw = s.dt.cpu_row(t)[head] as f64 + s.dt_bias.cpu()[head] as f64;
            let (low, high) = (s.dt_limit.0 as f64, s.dt_limit.1 as f64);
            let delta = raw.exp().ln_1p().max(low).min(high);
            let decay = (delta * s.a.cpu()[head] as f64).exp();
            let x = s.x.cpu_row(t)[row] as f64;
            let mut sum = s.d.cpu()[head] as f64 * x;
            for n in 0..s.d_state {
                let h = &mut h[row * s.d_state + n];
                *h = decay * *h + delta * x * s.b.cpu_row(t)[group * s.d_state + n] as f64;
                sum += *h * s.c.cpu_row(t)[group * s.d_state + n] as f64;
            }
            y.push(sum as f32);
        }
    }
    (y, h.iter().map(|&v| v as f32).collect())
}

fn in_pieces(whole: &Ssd<'_>, form: SsdForm, size: usize) -> (Vec<f32>, Tensor) {
    fn part(v: View<'_>, row: usize, rows: usize) -> View<'_> {
        View { row: v.row + row, rows, ..v }
    }
    let (len, mut state, mut y) = (whole.x.rows, whole.state.clone(), Vec::new());
    for row in (0..len).step_by(size) {
        let rows = size.min(len - row);
        let piece = Ssd {
            x: part(whole.x, row, rows),
            dt: part(whole.dt, row, rows),
            b: part(whole.b, row, rows),
            c: part(whole.c, row, rows),
            state: &state,
            ..*whole
        };
        let (part, next) = ssd_with(&Device::Cpu, &piece, form);
        y.extend_from_slice(part.cpu());
        state = next;
    }
    (y, state)
}

#[test]
fn both_forms_are_the_equation_with_and_without_a_limit() {
    let example = Example::new(&Device::Cpu, 5, SIZES);
    for dt_limit in [(0.0, f32::INFINITY), (0.02, 0.15)] {
        let input = Ssd { dt_limit, ..example.ssd() };
        let (want_y, want_state) = equation(&input);
        for form in FORMS {
            let (y, state) = ssd_with(&Device::Cpu, &input, form);
            // f32 sums over up to 64 tokens and 7 states against f64.
            assert!(largest_difference(y.cpu(), &want_y) < 1e-5, "{form:?}");
            assert!(largest_difference(state.cpu(), &want_state) < 1e-5, "{form:?}");
        }
    }
}

#[test]
fn the_two_forms_agree_where_a_head_fills_whole_tiles() {
    for (headdim, d_state) in [(64, 128), (16, 16), (33, 20)] {
        let sizes = Sizes { seq_len: 70, n_head: 2, headdim, n_groups: 1, d_state };
        let example = Example::new(&Device::Cpu, 6, sizes);
        let (y, state) = ssd_with(&Device::Cpu, &example.ssd(), SsdForm::Sequential);
        let (y2, state2) = ssd_with(&Device::Cpu, &example.ssd(), SsdForm::Chunked);
        // The same products in another order: up to 64 + 128 terms of size about 1.
        assert!(largest_difference(y2.cpu(), y.cpu()) < 2e-5);
        assert!(largest_difference(state2.cpu(), state.cpu()) < 2e-5);
    }
}

#[test]
fn pieces_with_carried_state_and_single_steps_equal_the_whole() {
    let example = Example::new(&Device::Cpu, 7, SIZES);
    let whole = example.ssd();
    for form in FORMS {
        let (y, end) = ssd_with(&Device::Cpu, &whole, form);
        for size in [1, 7, 63, 64, 65, 149] {
            let (pieces, state) = in_pieces(&whole, form, size);
            // Sequential: the same operations. Chunked: chunk borders move, and with them the order of sums.
            let tolerance = if form == SsdForm::Sequential { 0.0 } else { 1e-5 };
            assert!(largest_difference(&pieces, y.cpu()) <= tolerance, "{form:?} by {size}");
            assert!(largest_difference(state.cpu(), end.cpu()) <= tolerance, "{form:?} by {size}");
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn threads_that_share_heads_do_not_change_a_bit() {
    let example = Example::new(&Device::Cpu, 8, SIZES);
    let [one, two, three] = [1, 2, 4].map(|count| {
        crate::threads::set(Some(count)).unwrap();
        ssd_with(&Device::Cpu, &example.ssd(), SsdForm::Chunked)
    });
    crate::threads::set(Some(1)).unwrap();
    for (y, state) in [two, three] {
        assert_eq!(y.cpu(), one.0.cpu());
        assert_eq!(state.cpu(), one.1.cpu());
    }
}
