//! Numbers that other projects print, few enough to check by hand.

use layerwise::{
    Fold, LarcBuffers, LarcMode, LarcOptions, LayerStats, NovogradBuffers, NovogradOptions, Plan, PlanOptions,
};

/// TensorFlow Addons, novograd_test.py: two variables of two elements. Bound: the values are near 4, whose float32
/// neighbours are 2.4e-7 to either side; two steps of a few roundings.
fn addons(steps: i64, options: NovogradOptions, expected: [f32; 4]) {
    let options = options.lr(0.1).beta1(0.9).beta2(0.999).eps(1e-8);
    let mut plan = Plan::new(&PlanOptions::new(&[2, 2])).unwrap();
    let (mut weights, grads) = ([1f32, 2.0, 3.0, 4.0], [0.1f32, 0.2, 0.3, 0.4]);
    let (mut first_moment, mut second_moment) = ([0f32; 4], [0f32; 2]);
    for step in 1..=steps {
        let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
        plan.novograd_step(buffers, &options.step(step)).unwrap();
    }
    for (got, expected) in weights.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-6, "{weights:?}");
    }
}

#[test]
fn tensorflow_addons_one_step() {
    addons(1, NovogradOptions::default().weight_decay(0.0), [0.955_278_64, 1.910_557_3, 2.94, 3.92]);
}

#[test]
fn tensorflow_addons_one_step_with_weight_decay() {
    addons(1, NovogradOptions::default().weight_decay(0.1), [0.945_278_64, 1.890_557_3, 2.91, 3.88]);
}

#[test]
fn tensorflow_addons_two_steps_with_gradient_averaging() {
    let options = NovogradOptions::default().weight_decay(0.0).grad_averaging(true).average_first_step(false);
    addons(2, options.lr_in_momentum(true), [0.910_557_3, 1.821_114_6, 2.88, 3.84]);
}

/// torchlars' test of its formula: |w| 1.234, |g| 5.678, decay 1e-4, eps 1e-8, trust coefficient 0.001. Six digits are
/// printed: the bound is half a unit of the last.
#[test]
fn torchlars_adaptive_rate() {
    let mut plan = Plan::new(&PlanOptions::new(&[1])).unwrap();
    let (weights, mut grads) = ([1.234f32], [5.678f32]);
    let mut stats = [LayerStats::default()];
    let options = LarcOptions::new(1.0).eta(0.001).eps(1e-8).weight_decay(1e-4);
    let options = options.mode(LarcMode::Scale).fold_weight_decay(Fold::Norms);
    plan.larc_scale(LarcBuffers::new(&weights, &mut grads).layer_stats(&mut stats), &options).unwrap();
    assert!((stats[0].factor - 0.000217325).abs() < 5e-10, "{stats:?}");
}
