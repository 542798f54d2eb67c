//! Which settings a GPU can work on, by the texts of the knobs.

use super::*;

#[test]
fn a_gpu_solves_for_rows_that_nothing_but_their_own_threshold_binds() {
    let has_form = |spec: &str| {
        let setting = setting(spec);
        by_matrix(&setting).device_form(&setting).is_some()
    };
    for (spec, has) in [
        // A mask alone is quick on the CPU.
        ("wanda", false),
        ("magnitude:pattern=2:4", false),
        ("ria", false),
        ("rtn", false),
        ("gptq", false),
        // A refit solves a system a row.
        ("wanda:refit=row", true),
        ("magnitude:refit=row,pattern=2:4", true),
        ("ria:refit=row", true),
        ("sparsegpt", true),
        ("sparsegpt:pattern=2:4,mask=M", true),
        ("mrp", true),
        ("mrp:block=64", true),
        ("mrp:pattern=2:4,mask=M", true),
        // Swaps, mask W and thresholds that rows share are the CPU's.
        ("wanda:refit=row,swaps=10", false),
        ("wanda:swaps=10", false),
        ("wanda:refit=row,threshold=layer", false),
        ("wanda:threshold=layer", false),
        ("magnitude:refit=row,threshold=layer", false),
        ("sparsegpt:threshold=block", false),
        ("mrp:swaps=10", false),
        ("mrp:mask=W", false),
        ("mrp:mask=W,swaps=10", false),
        ("mrp:threshold=block", false),
        ("mrp:mask=W,threshold=block", false),
    ] {
        assert_eq!(has_form(spec), has, "{spec}");
    }
}

#[test]
fn a_method_asks_for_no_more_of_the_inputs_than_it_reads() {
    let needs = |spec: &str, cols: usize| {
        let setting = setting(spec);
        by_matrix(&setting).needs(&setting, cols)
    };
    for (spec, cols, expected) in [
        ("magnitude", 64, Needs::Nothing),
        ("wanda", 64, Needs::SquareSums),
        ("wanda:swaps=10", 64, Needs::Factor),
        ("custom:score=abs(w)/row", 64, Needs::Nothing),
        ("custom:score=abs(w)*x", 64, Needs::SquareSums),
        ("custom:score=w^2/h", 64, Needs::Factor),
        ("sparsegpt", 64, Needs::Factor),
        // The inverse is read where fewer go than stay and the row is whole.
        ("mrp:sparsity=0.3", 64, Needs::Inverse),
        ("mrp:sparsity=0.7", 64, Needs::Factor),
        ("mrp:sparsity=0.3,block=32", 64, Needs::Factor),
        ("wanda:refit=row,sparsity=0.3", 64, Needs::Inverse),
        ("wanda:refit=row,sparsity=0.3", 1000, Needs::Factor),
    ] {
        assert_eq!(needs(spec, cols), expected, "{spec}");
    }
}
