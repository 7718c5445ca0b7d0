//! Trainings on every instruction set of this machine equal PyTorch's. Alone in its process: the limit holds for all threads.

// Its other users need more of it.
#[allow(dead_code)]
mod support;

use cpu_kernels::Isa;

#[test]
fn five_distillation_steps_equal_pytorch_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|&isa| isa <= Isa::best()) {
        assert_eq!(Isa::limit(isa), isa);
        support::five_steps_equal_pytorch(1);
    }
}
