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
    DIRECT, "matmul_direct";
    SHARED, "matmul_shared";
    MATVEC, "matvec";
}

/// The shape of a tile, before [`TILES`]. A page has one alone, so that no browser has to know arrays whose size is chosen
/// when a pipeline is made.
pub static SHAPE: &str = match cfg!(target_arch = "wasm32") {
    true => "const DOWN=8u;const ACROSS=8u;\n",
    false => "override DOWN: u32 = 8u; override ACROSS: u32 = 8u;\n",
};
