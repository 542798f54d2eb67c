// id[t] = the smallest i with the largest logits[t, i]; see src/kernels/greedy.rs. A workgroup a row.

struct Params { cols: u32, offset: u32, stride: u32 }

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;    // [rows, stride], from offset
@group(0) @binding(2) var<storage, read_write> id: array<u32>;  // [rows]

const LANES = 256u;
var<workgroup> values: array<f32, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let start = p.offset + group.x * p.stride;
    // A lane without a column of its own looks at the last one.
    var place = min(lane, p.cols - 1u);
    var value = logits[start + place];
    for (var i = lane + LANES; i < p.cols; i += LANES) {
        let v = logits[start + i];
        if v > value {
            value = v;
            place = i;
        }
    }
    values[lane] = value;
    places[lane] = place;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            let v = values[lane + half];
            let at = places[lane + half];
            if v > values[lane] || (v == values[lane] && at < places[lane]) {
                values[lane] = v;
                places[lane] = at;
            }
        }
    }
    if lane == 0u { id[group.x] = places[0]; }
}
