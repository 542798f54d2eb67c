// G' = G + XᵀX; see src/kernels/gram.rs. An invocation computes 4 by 4 elements in registers, without barriers.

struct Params { rows: u32, cols: u32, x_offset: u32, x_stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_stride], from x_offset
@group(0) @binding(2) var<storage, read> sum: array<f32>;     // [cols, cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [cols, cols]

// Columns c..c + 4 of the row that starts at `start`; what lies beyond the last column is read but never stored.
fn four(start: u32, c: u32) -> vec4f {
    let last = p.cols - 1u;
    return vec4f(
        x[start + min(c, last)],
        x[start + min(c + 1u, last)],
        x[start + min(c + 2u, last)],
        x[start + min(c + 3u, last)],
    );
}

fn put(i: u32, j: u32, values: vec4f) {
    if i >= p.cols { return; }
    for (var k = 0u; k < 4u; k++) {
        if j + k < p.cols {
            let at = i * p.cols + j + k;
            y[at] = sum[at] + values[k];
        }
    }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let j = id.x * 4u;
    let i = id.y * 4u;
    if i >= p.cols || j >= p.cols { return; }
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var t = 0u; t < p.rows; t++) {
        let start = p.x_offset + t * p.x_stride;
        let a = four(start, i);
        let b = four(start, j);
        s0 += a.x * b;
        s1 += a.y * b;
        s2 += a.z * b;
        s3 += a.w * b;
    }
    put(i, j, s0);
    put(i + 1u, j, s1);
    put(i + 2u, j, s2);
    put(i + 3u, j, s3);
}
