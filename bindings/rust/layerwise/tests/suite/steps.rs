//! What the vectors do not reach: dtypes, layouts, options a layer, numbers in memory, bare pointers.
//!
//! Expectations are worked out by hand, or are the same step in another form, whose bits must be the same.

use layerwise::{
    Bf16, Device, Dtype, LarcBuffers, LarcMode, LarcOptions, LarcSgdBuffers, LayerOptions, LayerStats, Layout,
    NovogradBuffers, NovogradOptions, NovogradPointers, Plan, PlanOptions, Query, SgdOptions, F16,
};

const WEIGHTS: [f32; 5] = [1.0, 2.0, 3.0, 4.0, 5.0];
const GRADS: [f32; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];

/// The weights, moments and statistics after a step of the packed plan with layers of 2 and 3 elements.
fn packed_step() -> ([f32; 5], [f32; 5], [f32; 2], [LayerStats; 2]) {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let (mut weights, mut first_moment, mut second_moment) = (WEIGHTS, [0f32; 5], [0f32; 2]);
    let mut stats = [LayerStats::default(); 2];
    let buffers = NovogradBuffers::new(&mut weights, &GRADS, &mut first_moment, &mut second_moment);
    plan.novograd_step(buffers.layer_stats(&mut stats), &NovogradOptions::new(0.01)).unwrap();
    (weights, first_moment, second_moment, stats)
}

#[test]
fn scattered_slices_give_the_packed_bits() {
    let (expected, _, expected_second, _) = packed_step();
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3]).layout(Layout::Scattered)).unwrap();
    let (mut first, mut last) = ([1f32, 2.0], vec![3f32, 4.0, 5.0]);
    let (mut moments, mut second_moment) = ([0f32; 5], [0f32; 2]);
    let (head, tail) = moments.split_at_mut(2);
    let buffers = NovogradBuffers::new(
        vec![&mut first[..], &mut last[..]],
        vec![&GRADS[..2], &GRADS[2..]],
        vec![head, tail],
        &mut second_moment,
    );
    plan.novograd_step(buffers, &NovogradOptions::new(0.01)).unwrap();
    assert_eq!([&first[..], &last[..]].concat(), expected);
    assert_eq!(second_moment, expected_second);
}

#[test]
fn a_scattered_layer_without_a_gradient_is_left_out() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3]).layout(Layout::Scattered)).unwrap();
    let (mut first, mut last) = ([1f32, 2.0], [3f32, 4.0, 5.0]);
    let (mut moments, mut second_moment) = ([0f32; 2], [0f32; 2]);
    let buffers = NovogradBuffers::new(
        vec![&mut first[..], &mut last[..]],
        vec![Some(&GRADS[..2]), None],
        vec![Some(&mut moments[..]), None],
        &mut second_moment,
    );
    plan.novograd_step(buffers, &NovogradOptions::new(0.01)).unwrap();
    assert_eq!(first, packed_step().0[..2]);
    assert_eq!((last, second_moment[1]), ([3.0, 4.0, 5.0], 0.0));
}

#[test]
fn a_mask_leaves_a_layer_out_and_its_statistics_as_they_were() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let (mut weights, mut first_moment, mut second_moment) = (WEIGHTS, [0f32; 5], [0f32; 2]);
    let untouched = LayerStats { factor: 7.0, ..LayerStats::default() };
    let mut stats = [untouched; 2];
    let buffers = NovogradBuffers::new(&mut weights, &GRADS, &mut first_moment, &mut second_moment);
    let buffers = buffers.layer_mask(&[false, true]).layer_stats(&mut stats);
    plan.novograd_step(buffers, &NovogradOptions::new(0.01)).unwrap();
    assert_eq!((weights[0], weights[1], stats[0]), (1.0, 2.0, untouched));
    assert_eq!(weights[2..], packed_step().0[2..]);
    // |g|^2 = 0.09 + 0.16 + 0.25
    assert!((stats[1].grad_norm - 0.5f64.sqrt()).abs() < 1e-6 && stats[1].effective_lr == f64::from(0.01f32));
    assert!(stats[1].weight_norm.is_nan());
}

#[test]
fn sixteen_bit_elements_are_those_bits() {
    // |w| = 1, |g| = 2, eta = 1: r = 1/2, so g becomes 1.
    let options = PlanOptions::new(&[1]).weights_dtype(Dtype::Bfloat16).grads_dtype(Dtype::Float16);
    let mut plan = Plan::new(&options).unwrap();
    let (weights, mut grads) = ([Bf16(0x3f80)], [F16(0x4000)]);
    let larc = LarcOptions::new(1.0).eta(1.0).eps(0.0).mode(LarcMode::Scale);
    plan.larc_scale(LarcBuffers::new(&weights, &mut grads), &larc).unwrap();
    assert_eq!(grads, [F16(0x3c00)]);
}

#[test]
fn the_low_precision_copy_is_written() {
    let mut plan = Plan::new(&PlanOptions::new(&[2]).weights_extra_dtype(Dtype::Bfloat16)).unwrap();
    let (mut weights, mut copy) = ([1f32, -2.0], [Bf16::default(); 2]);
    let buffers = LarcSgdBuffers::new(&mut weights, &[0f32; 2]).weights_extra(&mut copy);
    plan.larc_sgd_step(buffers, &LarcOptions::new(0.1), &SgdOptions::default().momentum(0.0)).unwrap();
    assert_eq!((weights, copy), ([1.0, -2.0], [Bf16(0x3f80), Bf16(0xc000)]));
}

#[test]
fn options_a_layer_reach_their_layer() {
    let mut plan = Plan::new(&PlanOptions::new(&[1, 1, 1])).unwrap();
    let layers = LayerOptions::new().lr_mult(&[0.0, 1.0, 0.5]).wd_mult(&[1.0, 0.0, 1.0]);
    plan.set_layers(&layers.skip_larc(&[true, true, true])).unwrap();
    let mut weights = [4f32; 3];
    let sgd = SgdOptions::default().momentum(0.0);
    // w - lr*lr_mult*(g + wd*wd_mult*w), all exact: 4; 4 - 0.5*2; 4 - 0.25*(2 + 0.25*4)
    let larc = LarcOptions::new(0.5).weight_decay(0.25);
    plan.larc_sgd_step(LarcSgdBuffers::new(&mut weights, &[2f32; 3]), &larc, &sgd).unwrap();
    assert_eq!(weights, [4.0, 3.0, 3.25]);
}

#[test]
fn numbers_in_memory_are_read_and_counted() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let (mut weights, mut first_moment, mut second_moment) = (WEIGHTS, [0f32; 5], [0f32; 2]);
    let (mut completed, mut skipped, lr) = (0i64, 0i64, 0.01f32);
    let grads = GRADS.map(|gradient| gradient * 2.0);
    let options = NovogradOptions::default().advance_step(true);
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
    let buffers = buffers.lr_ptr(&lr).grad_scale_ptr(&2.0).step_ptr(&mut completed).nonfinite_layers(&mut skipped);
    plan.novograd_step(buffers, &options).unwrap();
    assert_eq!((weights, completed, skipped), (packed_step().0, 1, 0));

    let infinite = [f32::INFINITY, 0.2, 0.3, 0.4, 0.5];
    let buffers = NovogradBuffers::new(&mut weights, &infinite, &mut first_moment, &mut second_moment);
    let buffers = buffers.lr_ptr(&lr).step_ptr(&mut completed).nonfinite_layers(&mut skipped);
    plan.novograd_step(buffers, &options).unwrap();
    assert_eq!((weights[..2].to_vec(), completed, skipped), (packed_step().0[..2].to_vec(), 2, 1));

    let before = weights;
    let buffers = NovogradBuffers::new(&mut weights, &GRADS, &mut first_moment, &mut second_moment);
    plan.novograd_step(buffers.lr_ptr(&lr).step_ptr(&mut completed).found_inf(&1.0), &options).unwrap();
    assert_eq!((weights, completed), (before, 2));
}

#[test]
fn bare_pointers_give_the_bits_of_slices() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let (mut weights, mut first_moment, mut second_moment) = (WEIGHTS, [0f32; 5], [0f32; 2]);
    let mut stats = [LayerStats::default(); 2];
    let pointers = NovogradPointers {
        weights: weights.as_mut_ptr().cast(),
        grads: GRADS.as_ptr().cast(),
        first_moment: first_moment.as_mut_ptr().cast(),
        second_moment: second_moment.as_mut_ptr().cast(),
        layer_stats: stats.as_mut_ptr(),
        ..NovogradPointers::default()
    };
    // SAFETY: arrays of the plan's dtypes and sizes, that live until the step has returned.
    unsafe { plan.novograd_step_raw(&pointers, &NovogradOptions::new(0.01), std::ptr::null_mut()) }.unwrap();
    let expected = packed_step();
    assert_eq!((weights, first_moment, second_moment), (expected.0, expected.1, expected.2));
    assert_eq!(format!("{stats:?}"), format!("{:?}", expected.3)); // NaN is not equal to itself
}

#[test]
fn a_plan_says_what_it_is_and_moves_between_threads() {
    let options = PlanOptions::new(&[3, 0, 8193]).offsets(&[9000, 5, 0]).threads(1);
    assert_eq!(options.workspace_size().unwrap(), 0);
    let plan = Plan::new(&options.device(Device::Cpu)).unwrap();
    let (plan, extent) = std::thread::spawn(|| {
        let extent = plan.query(Query::Extent).unwrap();
        (plan, extent)
    })
    .join()
    .unwrap();
    assert_eq!((extent, plan.extent(), plan.layers()), (9003, 9003, 3));
    assert_eq!((plan.query(Query::Elements), plan.query(Query::Tiles)), (Ok(8196), Ok(3)));
    assert_eq!(plan.query(Query::Threads), Ok(1));
}
