//! What is refused says why, and has changed nothing.

use layerwise::{
    sys, Bf16, Device, Error, LarcBuffers, LarcOptions, LarcSgdBuffers, LayerOptions, LayerStats, Layout,
    NovogradBuffers, NovogradOptions, Plan, PlanOptions, SgdOptions,
};

fn plan() -> Plan {
    Plan::new(&PlanOptions::new(&[2, 3])).unwrap()
}

/// The error of a step with these lengths, which must leave everything as it was.
fn step_error(plan: &mut Plan, lengths: [usize; 4], options: &NovogradOptions) -> Error {
    let mut weights = vec![1f32; lengths[0]];
    let grads = vec![1f32; lengths[1]];
    let (mut first_moment, mut second_moment) = (vec![0f32; lengths[2]], vec![0f32; lengths[3]]);
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
    let error = plan.novograd_step(buffers, options).unwrap_err();
    assert!(weights.iter().all(|&weight| weight == 1.0) && second_moment.iter().all(|&moment| moment == 0.0));
    error
}

#[test]
fn an_error_has_status_name_and_message() {
    let error = step_error(&mut plan(), [5, 5, 5, 2], &NovogradOptions::new(-1.0));
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_INVALID_VALUE);
    assert_eq!(error.status_name(), "LAYERWISE_ERROR_INVALID_VALUE");
    assert_eq!(error.message(), "novograd_step: lr is -1; it must be finite and not negative");
    assert_eq!(
        error.to_string(),
        "novograd_step: lr is -1; it must be finite and not negative [LAYERWISE_ERROR_INVALID_VALUE, 102]"
    );
    let _: Box<dyn std::error::Error + Send + Sync> = error.into();
}

#[test]
fn a_missing_learning_rate_is_refused() {
    let error = step_error(&mut plan(), [5, 5, 5, 2], &NovogradOptions::default());
    assert!(error.message().contains("lr is nan"), "{error}");
}

#[test]
fn buffers_that_are_too_short_are_refused() {
    let mut plan = plan();
    for (lengths, name) in [
        ([4, 5, 5, 2], "weights has 4"),
        ([5, 4, 5, 2], "grads has 4"),
        ([5, 5, 4, 2], "first_moment has 4"),
        ([5, 5, 5, 1], "second_moment has 1"),
        ([5, 5, 5, 3], "second_moment has 3"),
    ] {
        let error = step_error(&mut plan, lengths, &NovogradOptions::new(0.1));
        assert_eq!(error.status(), sys::LAYERWISE_ERROR_INVALID_VALUE);
        assert!(error.message().starts_with(name), "{error}");
    }
    let (weights, mut grads) = ([1f32; 5], [1f32; 5]);
    let error = plan.larc_scale(LarcBuffers::new(&weights, &mut grads).layer_mask(&[true]), &LarcOptions::new(0.1));
    assert!(error.unwrap_err().message().starts_with("layer_mask has 1"));
    let mut stats = [LayerStats::default(); 3];
    let error = plan.larc_scale(LarcBuffers::new(&weights, &mut grads).layer_stats(&mut stats), &LarcOptions::new(0.1));
    assert!(error.unwrap_err().message().starts_with("layer_stats has 3"));
}

/// Without offsets the layers fill a buffer: a longer one is another model's, and its tail would not be trained.
#[test]
fn buffers_that_are_too_long_are_refused_without_offsets() {
    for (lengths, name) in
        [([6, 5, 5, 2], "weights has 6"), ([5, 6, 5, 2], "grads has 6"), ([5, 5, 6, 2], "first_moment has 6")]
    {
        let error = step_error(&mut plan(), lengths, &NovogradOptions::new(0.1));
        assert_eq!(error.status(), sys::LAYERWISE_ERROR_INVALID_VALUE);
        assert!(error.message().starts_with(name), "{error}");
    }
    let mut with_offsets = Plan::new(&PlanOptions::new(&[2, 3]).offsets(&[0, 2])).unwrap();
    let (weights, mut grads) = ([1f32; 6], [1f32; 6]);
    with_offsets.larc_scale(LarcBuffers::new(&weights, &mut grads), &LarcOptions::new(0.1)).unwrap();
}

#[test]
fn dtypes_other_than_the_plans_are_refused() {
    let (mut weights, grads) = ([Bf16(0x3f80); 5], [1f32; 5]);
    let error = plan()
        .larc_sgd_step(LarcSgdBuffers::new(&mut weights, &grads), &LarcOptions::new(0.1), &SgdOptions::default())
        .unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_UNSUPPORTED_DTYPE);
    assert_eq!(error.message(), "weights holds Bfloat16; the plan's weights are Float32");
    let (mut first_moment, mut second_moment, mut weights) = ([0f32; 5], [0f64; 2], [1f32; 5]);
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
    let error = plan().novograd_step(buffers, &NovogradOptions::new(0.1)).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_UNSUPPORTED_DTYPE);
}

#[test]
fn buffers_that_options_need_or_exclude_are_refused() {
    let mut plan = plan();
    let (mut weights, grads, mut copy) = ([1f32; 5], [1f32; 5], [Bf16::default(); 5]);
    let (larc, sgd) = (LarcOptions::new(0.1), SgdOptions::default());
    let error = plan.larc_sgd_step(LarcSgdBuffers::new(&mut weights, &grads), &larc, &sgd).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_COMBINATION);
    let buffers = LarcSgdBuffers::new(&mut weights, &grads).weights_extra(&mut copy);
    let error = plan.larc_sgd_step(buffers, &larc, &sgd.momentum(0.0)).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_COMBINATION);
    assert_eq!(weights, [1.0; 5]);
}

#[test]
fn layouts_are_told_apart() {
    let mut scattered = Plan::new(&PlanOptions::new(&[2]).layout(Layout::Scattered)).unwrap();
    let (weights, mut grads) = ([1f32; 2], [1f32; 2]);
    let options = LarcOptions::new(0.1);
    let error = scattered.larc_scale(LarcBuffers::new(&weights, &mut grads), &options).unwrap_err();
    assert_eq!(
        error.message(),
        "weights is one slice; the plan's layout is Scattered, which takes a Vec of a slice a layer"
    );
    let buffers = LarcBuffers::new(vec![&weights[..]], vec![&mut grads[..1]]);
    let error = scattered.larc_scale(buffers, &options).unwrap_err();
    assert_eq!(error.message(), "grads[0] has 1 elements; it must have at least 2, the layer's offset and size");
    let buffers = LarcBuffers::new(vec![&weights[..]; 2], vec![&mut grads[..]]);
    let error = scattered.larc_scale(buffers, &options).unwrap_err();
    assert_eq!(error.message(), "weights has 2 values; it must have 1, one a layer");
    // A layer that takes part must be there.
    let buffers = LarcBuffers::new(vec![None::<&[f32]>], vec![&mut grads[..]]);
    let error = scattered.larc_scale(buffers, &options).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_NULL_ARGUMENT);
    let error = plan().larc_scale(LarcBuffers::new(vec![&weights[..]], &mut grads), &options).unwrap_err();
    assert_eq!(error.message(), "weights is a slice a layer; the plan's layout is Packed, which takes one slice");
}

#[test]
fn plans_that_cannot_be_are_refused() {
    let status = |options: &PlanOptions| Plan::new(options).unwrap_err().status();
    assert_eq!(status(&PlanOptions::new(&[-1])), sys::LAYERWISE_ERROR_LAYER_RANGE);
    assert_eq!(status(&PlanOptions::new(&[2, 2]).offsets(&[0, 1])), sys::LAYERWISE_ERROR_LAYER_OVERLAP);
    assert_eq!(status(&PlanOptions::new(&[1]).offsets(&[i64::MAX])), sys::LAYERWISE_ERROR_LAYER_OVERFLOW);
    assert_eq!(status(&PlanOptions::new(&[1, 1]).offsets(&[0])), sys::LAYERWISE_ERROR_INVALID_VALUE);
    assert_eq!(status(&PlanOptions::new(&[1]).threads(-1)), sys::LAYERWISE_ERROR_INVALID_VALUE);
    let absent = Plan::new(&PlanOptions::new(&[1]).device(Device::Cuda(u32::MAX))).unwrap_err();
    assert!([401, 102].contains(&absent.status()) || absent.status() == 501, "{absent}");
}

#[test]
fn options_a_layer_have_one_value_a_layer() {
    let error = plan().set_layers(&LayerOptions::new().lr_mult(&[1.0])).unwrap_err();
    assert_eq!(error.message(), "lr_mult has 1 values; it must have 2, one a layer");
    let error = plan().set_layers(&LayerOptions::new().wd_mult(&[1.0, -1.0])).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_INVALID_VALUE);
}
