//! The two halves of a step, LARC before NovoGrad, random rounding and split weights: that each argument arrives where it
//! belongs. Expectations are the whole step, whose bits must be the same, or worked out by hand.

use layerwise::{
    Bf16, Dtype, LarcBuffers, LarcOptions, LarcSgdBuffers, LayerStats, Norm, NormBuffers, NovogradBuffers,
    NovogradOptions, Plan, PlanOptions, Remainder16, Rounding, SgdOptions,
};

const WEIGHTS: [f32; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
const GRADS: [f32; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

fn sums(plan: &mut Plan) -> ([f64; 2], [f64; 2]) {
    let (mut of_grads, mut of_weights) = ([0.0; 2], [0.0; 2]);
    plan.partial_norms(NormBuffers::new(&GRADS, &mut of_grads).weights(&WEIGHTS, &mut of_weights), Norm::L2).unwrap();
    (of_grads, of_weights)
}

#[test]
fn the_halves_give_the_bits_of_the_whole_step() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let (of_grads, of_weights) = sums(&mut plan);
    assert_eq!(of_weights, [5.0, 50.0]); // 1 + 4, 9 + 16 + 25
    let step = |plan: &mut Plan, given: Option<&[f64]>| {
        let (mut weights, mut first, mut second) = (WEIGHTS, [0f32; 5], [0f32; 2]);
        let buffers = NovogradBuffers::new(&mut weights, &GRADS, &mut first, &mut second);
        let buffers = if let Some(sums) = given { buffers.grad_sums(sums) } else { buffers };
        plan.novograd_step(buffers, &NovogradOptions::new(0.01)).unwrap();
        (weights, first, second)
    };
    assert_eq!(step(&mut plan, Some(&of_grads)), step(&mut plan, None));

    let larc = LarcOptions::new(0.1);
    let sgd = |plan: &mut Plan, given: bool| {
        let (mut weights, mut momentum) = (WEIGHTS, [0f32; 5]);
        let buffers = LarcSgdBuffers::new(&mut weights, &GRADS).momentum(&mut momentum);
        let buffers = if given { buffers.sums(&of_grads, &of_weights) } else { buffers };
        plan.larc_sgd_step(buffers, &larc, &SgdOptions::default()).unwrap();
        (weights, momentum)
    };
    assert_eq!(sgd(&mut plan, true), sgd(&mut plan, false));
    let scaled = |plan: &mut Plan, given: bool| {
        let mut grads = GRADS;
        let buffers = LarcBuffers::new(&WEIGHTS, &mut grads);
        let buffers = if given { buffers.sums(&of_grads, &of_weights) } else { buffers };
        plan.larc_scale(buffers, &larc).unwrap();
        grads
    };
    assert_eq!(scaled(&mut plan, true), scaled(&mut plan, false));
}

/// |w| = 5, |g| = 1: r = 0.1 * 5 / 1 / lr = 0.5, v = 0.25, u = g'/|g'| = (0.6, 0.8).
#[test]
fn larc_before_novograd() {
    let mut plan = Plan::new(&PlanOptions::new(&[2])).unwrap();
    let (mut weights, mut first, mut second) = ([3f32, 4.0], [0f32; 2], [0f32; 1]);
    let mut stats = [LayerStats::default()];
    let buffers = NovogradBuffers::new(&mut weights, &[0.6f32, 0.8], &mut first, &mut second).layer_stats(&mut stats);
    let options = NovogradOptions::new(1.0).eps(0.0).weight_decay(0.0);
    plan.larc_novograd_step(buffers, &LarcOptions::default().eta(0.1).eps(0.0), &options).unwrap();
    assert!((weights[0] - 2.4).abs() < 1e-6 && (weights[1] - 3.2).abs() < 1e-6, "{weights:?}");
    assert!((stats[0].factor - 0.5).abs() < 1e-6);
}

#[test]
fn random_rounding_depends_on_the_seed_alone() {
    let mut plan = Plan::new(&PlanOptions::new(&[5]).first_moment_dtype(Dtype::Bfloat16)).unwrap();
    let mut moments = |seed: i64| {
        let (mut weights, mut first, mut second) = (WEIGHTS, [Bf16(0); 5], [0f32; 1]);
        let options = NovogradOptions::new(0.01).step(1).rounding(Rounding::Stochastic).seed(seed);
        plan.novograd_step(NovogradBuffers::new(&mut weights, &GRADS, &mut first, &mut second), &options).unwrap();
        first
    };
    assert_eq!(moments(-5), moments(-5));
    assert!((0..20).any(|seed| moments(seed) != moments(-5)));
}

#[test]
fn split_weights_are_the_float32_master() {
    let described = PlanOptions::new(&[5]).weights_dtype(Dtype::Bfloat16).weights_extra_dtype(Dtype::Remainder16);
    let (mut split, mut whole) = (Plan::new(&described).unwrap(), Plan::new(&PlanOptions::new(&[5])).unwrap());
    let mut upper = WEIGHTS.map(|weight| Bf16((weight.to_bits() >> 16) as u16)); // exact: small whole numbers
    let (mut lower, mut weights) = ([Remainder16(0); 5], WEIGHTS);
    let (mut moments, mut seconds) = ([[0f32; 5]; 2], [[0f32; 1]; 2]);
    let ([of_split, of_whole], [v_of_split, v_of_whole]) = (&mut moments, &mut seconds);
    for _ in 0..4 {
        let buffers = NovogradBuffers::new(&mut upper, &GRADS, &mut of_split[..], &mut v_of_split[..]);
        split.novograd_step(buffers.weights_extra(&mut lower), &NovogradOptions::new(0.01)).unwrap();
        let buffers = NovogradBuffers::new(&mut weights, &GRADS, &mut of_whole[..], &mut v_of_whole[..]);
        whole.novograd_step(buffers, &NovogradOptions::new(0.01)).unwrap();
    }
    let joined: Vec<u32> = (upper.iter().zip(&lower))
        .map(|(high, low)| (u32::from(high.0) - u32::from(low.0 >> 15)) << 16 | u32::from(low.0))
        .collect();
    assert_eq!(joined, weights.map(f32::to_bits));
}
