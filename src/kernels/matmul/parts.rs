//! The parts of the shaders that multiply with weights. A shader is several of them one after the other; each is in the
//! engine once.

use crate::backend::gpu::wgsl;

macro_rules! part {
    ($($id:ident, $name:literal;)*) => {
        $(pub static $id: &str = wgsl!(include_str!(concat!("../../../shaders/", $name, ".wgsl")));)*
    };
}

part! {
    WEIGHTS, "matmul_weights";
    BLOCKS_WEIGHTS, "blocks_weights";
    INPUT, "matmul_input";
    OUTPUT, "matmul_output";
    REGISTERS, "matmul_registers";
    TILES, "matmul_tiles";
    TILE_SUMS, "matmul_tile_sums";
    DIRECT, "matmul_direct";
    SHARED, "matmul_shared";
    MATVEC, "matvec";
}

#[cfg(not(target_arch = "wasm32"))]
part! {
    TILE_SUMS_F16, "matmul_tile_sums_f16";
}

/// The shape of a tile and what it is made of, before [`TILES`]. A page has one shape alone, so that no browser has to know
/// arrays whose size is chosen when a pipeline is made.
pub static SHAPE: &str = match cfg!(target_arch = "wasm32") {
    true => "const DOWN=8u;const ACROSS=8u;alias Cell=vec4f;\n",
    false => "override DOWN: u32 = 8u; override ACROSS: u32 = 8u; alias Cell = vec4f;\n",
};

/// The same in f16.
#[cfg(not(target_arch = "wasm32"))]
pub static SHAPE_F16: &str =
    "override DOWN: u32 = 8u; override ACROSS: u32 = 8u; alias Cell = vec4h;\n";
/// Before everything else.
#[cfg(not(target_arch = "wasm32"))]
pub static ENABLE_F16: &str = "enable f16;\n";
