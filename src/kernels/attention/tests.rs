use super::*;

/// The equation in f64, one query of one head after the other.
fn in_f64(input: &Attention<'_>) -> Vec<f64> {
    let headdim = input.headdim;
    let at = |x: View<'_>, row: usize, head: usize| -> Vec<f64> {
        x.cpu_row(row)[head * headdim..][..headdim].iter().map(|&v| v as f64).collect()
    };
    let mut y = Vec::new();
    for i in 0..input.q.rows {
        for h in 0..input.n_head {
            let g = h * input.n_kv_head / input.n_head;
            let q = at(input.q, i, h);
            let scores: Vec<f64> = (0..=input.n_past + i)
                .map(|j| {
                    let dot = q.iter().zip(at(input.k, j, g)).map(|(q, k)| q * k).sum::<f64>();
                    let bias = input.bias.map_or(0.0, |bias| bias.cpu()[j] as f64);
                    (dot * input.scale as f64 + bias).exp()
                })
                .collect();
            let sum: f64 = scores.iter().sum();
            for d in 0..headdim {
                let values = (0..scores.len()).map(|j| at(input.v, j, g)[d]);
                y.push(values.zip(&scores).map(|(v, s)| v * s).sum::<f64>() / sum);
            }
        }
    }
    y
}

/// q, k and v of one call, with n_head heads of q over n_kv_head.
fn tensors(rows: usize, n_head: usize, n_kv_head: usize, headdim: usize) -> [Tensor; 3] {
    let mut rng = Rng::new(72);
    [n_head, n_kv_head, n_kv_head].map(|h| random(&Device::Cpu, &mut rng, rows, h * headdim))
}

fn whole<'a>([q, k, v]: &'a [Tensor; 3], heads: (usize, usize), headdim: usize) -> Attention<'a> {
    Attention {
        q: q.view(),
        k: k.view(),
        v: v.view(),
        n_head: heads.0,
        n_kv_head: heads.1,
        headdim,
        n_past: 0,
        scale: 0.7,
        bias: None,
    }
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let d = crate::kernels::largest_difference(found, expected);
    assert!(d <= 2e-6, "differs by {d:e}");
}

#[test]
fn attention_equals_its_equation_in_f64() {
    for (rows, n_head, n_kv_head, headdim) in [(3, 2, 1, 5), (37, 6, 2, 7), (70, 3, 3, 16)] {
        let qkv = tensors(rows, n_head, n_kv_head, headdim);
        let bias = random(&Device::Cpu, &mut Rng::new(74), rows, 1);
        for bias in [None, Some(&bias)] {
            let input = Attention { bias, ..whole(&qkv, (n_head, n_kv_head), headdim) };
            let found = attention(&Device::Cpu, &input);
            for (f, e) in found.cpu().iter().zip(in_f64(&input)) {
                assert!((*f as f64 - e).abs() <= 2e-6, "{rows} rows: {f} is not {e}");
            }
        }
    }
}

#[test]
fn a_chunk_with_a_past_equals_the_rows_of_the_whole() {
    let (heads, headdim, rows) = ((4, 2), 12, 45);
    let qkv = tensors(rows, heads.0, heads.1, headdim);
    let all = attention(&Device::Cpu, &whole(&qkv, heads, headdim));
    // One row takes the form for few rows, the others the blocked one.
    for (n_past, len) in [(0, 20), (20, 25), (31, 1), (44, 1), (32, 9)] {
        let mut part = whole(&qkv, heads, headdim);
        part.q = qkv[0].row_range(n_past, len);
        part.k = qkv[1].row_range(0, n_past + len);
        part.v = qkv[2].row_range(0, n_past + len);
        part.n_past = n_past;
        let width = heads.0 * headdim;
        let expected = &all.cpu()[n_past * width..(n_past + len) * width];
        assert_close(attention(&Device::Cpu, &part).cpu(), expected);
    }
}

#[test]
fn grouped_queries_equal_plain_heads_with_keys_repeated() {
    let (n_head, n_kv_head, headdim, rows) = (6, 2, 10, 21);
    let qkv = tensors(rows, n_head, n_kv_head, headdim);
    let repeat = |x: &Tensor| {
        let heads = x.cpu().chunks(headdim).flat_map(|h| [h; 3].concat());
        Device::Cpu.tensor(rows, n_head * headdim, &heads.collect::<Vec<_>>())
    };
    let plain = [qkv[0].clone(), repeat(&qkv[1]), repeat(&qkv[2])];
    let grouped = attention(&Device::Cpu, &whole(&qkv, (n_head, n_kv_head), headdim));
    let expected = attention(&Device::Cpu, &whole(&plain, (n_head, n_head), headdim));
    assert_close(grouped.cpu(), expected.cpu());
}

#[test]
fn scores_too_large_for_exp_still_give_a_mean_of_values() {
    let device = Device::Cpu;
    let (rows, headdim) = (40, 4);
    let v = random(&device, &mut Rng::new(73), rows, headdim);
    let same = device.tensor(rows, headdim, &vec![100.0; rows * headdim]);
    let qkv = [same.clone(), same, v.clone()];
    let y = attention(&device, &whole(&qkv, (1, 1), headdim));
    for d in 0..headdim {
        let mean = v.cpu().iter().skip(d).step_by(headdim).sum::<f32>() / rows as f32;
        assert!((y.cpu()[(rows - 1) * headdim + d] - mean).abs() <= 1e-6);
    }
}

#[test]
fn a_key_with_the_log_of_its_size_weighs_as_much_as_so_many_copies() {
    let (headdim, device) = (6, Device::Cpu);
    let [q, k, v] = tensors(12, 2, 1, headdim);
    // Key 0 three times, then the other keys; seen by the last query alone.
    let copies = |x: &Tensor| {
        let row = &x.cpu()[..headdim];
        let all = [row, row, x.cpu()].concat();
        device.tensor(14, headdim, &all)
    };
    let last = q.row_range(11, 1);
    let (k3, v3) = (copies(&k), copies(&v));
    let mut sizes = vec![0.0; 12];
    sizes[0] = 3.0_f32.ln();
    let bias = device.tensor(12, 1, &sizes);
    let qkv = [q.clone(), k, v];
    let merged =
        Attention { q: last, n_past: 11, bias: Some(&bias), ..whole(&qkv, (2, 1), headdim) };
    let plain = Attention { k: k3.view(), v: v3.view(), n_past: 13, bias: None, ..merged };
    assert_close(attention(&device, &merged).cpu(), attention(&device, &plain).cpu());
}
