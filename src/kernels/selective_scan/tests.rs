use super::*;
use crate::kernels::largest_difference;

/// Algorithm 2 in f64, one channel and one state at a time.
fn equation(s: &Scan<'_>) -> (Vec<f32>, Vec<f32>) {
    let (len, d_inner, d_state) = (s.u.rows, s.u.cols, s.a.cols());
    let mut h: Vec<f64> = s.state.cpu().iter().map(|&v| v as f64).collect();
    let mut y = Vec::new();
    for t in 0..len {
        for ch in 0..d_inner {
            let u = s.u.cpu_row(t)[ch] as f64;
            let delta = (s.dt.cpu_row(t)[ch] as f64).exp().ln_1p();
            let mut sum = s.d.cpu()[ch] as f64 * u;
            for n in 0..d_state {
                let a = s.a.cpu()[ch * d_state + n] as f64;
                let h = &mut h[ch * d_state + n];
                *h = (delta * a).exp() * *h + delta * s.b.cpu_row(t)[n] as f64 * u;
                sum += s.c.cpu_row(t)[n] as f64 * *h;
            }
            if let Some(z) = &s.gate {
                let z = z.cpu_row(t)[ch] as f64;
                sum *= z / (1.0 + (-z).exp());
            }
            y.push(sum as f32);
        }
    }
    (y, h.iter().map(|&v| v as f32).collect())
}

#[test]
fn the_cpu_form_is_the_equation() {
    for (len, d_inner, d_state) in [(9, 37, 5), (40, 32, 16), (3, 1, 1)] {
        let example = Example::new(&Device::Cpu, 5, len, d_inner, d_state);
        let scan = example.scan();
        let (y, state) = selective_scan(&Device::Cpu, &scan);
        let (want_y, want_state) = equation(&scan);
        // f32 sums over the states and steps against f64.
        assert!(largest_difference(y.cpu(), &want_y) < 1e-5);
        assert!(largest_difference(state.cpu(), &want_state) < 1e-5);
    }
}

#[test]
fn every_split_and_single_steps_equal_the_whole_exactly() {
    let (len, d_inner, d_state) = (11, 37, 5);
    let example = Example::new(&Device::Cpu, 6, len, d_inner, d_state);
    let whole = example.scan();
    let (y, end) = selective_scan(&Device::Cpu, &whole);
    fn part(v: View<'_>, row: usize, rows: usize) -> View<'_> {
        View { row: v.row + row, rows, ..v }
    }
    for size in 1..len {
        let mut pieces = Vec::new();
        let mut state = example.state.clone();
        for row in (0..len).step_by(size) {
            let rows = size.min(len - row);
            let scan = Scan {
                u: part(whole.u, row, rows),
                dt: part(whole.dt, row, rows),
                b: part(whole.b, row, rows),
                c: part(whole.c, row, rows),
                gate: whole.gate.map(|z| part(z, row, rows)),
                state: &state,
                ..whole
            };
            let (y, next) = selective_scan(&Device::Cpu, &scan);
            pieces.extend_from_slice(y.cpu());
            state = next;
        }
        // The state is carried in f32 either way and every step does the same operations.
        assert_eq!(pieces, y.cpu(), "pieces of {size}");
        assert_eq!(state.cpu(), end.cpu());
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn threads_that_share_channels_do_not_change_a_bit() {
    // Enough work for threads to be used; the last block of channels is not full.
    let example = Example::new(&Device::Cpu, 7, 130, 179, 16);
    let [one, two, three] = [1, 2, 3].map(|count| {
        crate::threads::set(Some(count)).unwrap();
        selective_scan(&Device::Cpu, &example.scan())
    });
    crate::threads::set(Some(1)).unwrap();
    for (y, state) in [two, three] {
        assert_eq!(y.cpu(), one.0.cpu());
        assert_eq!(state.cpu(), one.1.cpu());
    }
}
