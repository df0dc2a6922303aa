//! Ranks that hold pieces of layers, all of them in this process: what each has summed is added in rank order.
//!
//! Expectations are one plan of the whole model, whose bits must be the same where the cuts lie at tiles: sums of tiles
//! are float32 numbers, which float64 adds exactly for layers like these, in any order.

use layerwise::{
    sys, ErrorKind, LarcBuffers, LarcOptions, LarcSgdBuffers, Norm, NormBuffers, NovogradBuffers, NovogradOptions,
    NovogradPointers, Plan, PlanOptions, Query, SgdOptions, ShardOptions,
};

const TILE: i64 = 8192;
const SIZES: [i64; 4] = [3 * TILE + 5, TILE, 2 * TILE, 1];
/// By rank: begin and size of each layer's piece. The second rank has nothing, the third no whole layer.
const CUTS: [[(i64, i64); 4]; 4] = [
    [(0, 2 * TILE), (0, 0), (0, TILE), (0, 0)],
    [(0, 0), (0, 0), (0, 0), (0, 0)],
    [(2 * TILE, TILE), (0, 0), (TILE, TILE), (0, 0)],
    [(3 * TILE, 5), (0, TILE), (0, 0), (0, 1)],
];

type Values = Vec<f32>;

fn values(seed: u32) -> Values {
    let next = |i: i64| (seed.wrapping_mul(0x9e37_79b9) ^ i as u32).wrapping_mul(0x85eb_ca6b) >> 8;
    (0..SIZES.iter().sum()).map(|i| next(i) as f32 / (1 << 24) as f32 - 0.5).collect()
}

/// The elements of a rank, layer by layer.
fn pieces(whole: &[f32], rank: usize) -> Values {
    let (mut start, mut own) = (0, Values::new());
    for (size, (begin, length)) in SIZES.iter().zip(CUTS[rank]) {
        own.extend_from_slice(&whole[(start + begin) as usize..(start + begin + length) as usize]);
        start += size;
    }
    own
}

fn whole() -> Plan {
    Plan::new(&PlanOptions::new(&SIZES).threads(1)).unwrap()
}

fn shard(rank: usize) -> Plan {
    let (begins, sizes): (Vec<_>, Vec<_>) = CUTS[rank].into_iter().unzip();
    let mut plan = Plan::new(&PlanOptions::new(&sizes).threads(1)).unwrap();
    plan.set_shard(&ShardOptions::new(&SIZES).layer_begins(&begins)).unwrap();
    plan
}

/// One side of the comparison: what a plan trains, and what it keeps.
struct Side {
    plan: Plan,
    weights: Values,
    moment: Values,
    second: [f32; 4],
}

#[derive(Clone, Copy)]
enum Step {
    Novograd,
    Larc,
    LarcSgd,
    LarcNovograd,
}

type Sums = [[f64; 4]; 2];

impl Side {
    fn new(plan: Plan, weights: Values) -> Self {
        Side { plan, moment: vec![0.0; weights.len()], weights, second: [0.0; 4] }
    }

    fn sums(&mut self, grads: &[f32]) -> Sums {
        let [mut of_grads, mut of_weights] = [[f64::NAN; 4]; 2];
        let buffers = NormBuffers::new(grads, &mut of_grads).weights(&self.weights[..], &mut of_weights);
        self.plan.partial_norms(buffers, Norm::L2).unwrap();
        [of_grads, of_weights]
    }

    /// With sums the second half of a step.
    fn step(&mut self, kind: Step, grads: &mut [f32], sums: Option<&Sums>) -> layerwise::Result<()> {
        let larc = LarcOptions::default().eta(0.1);
        match kind {
            Step::Larc => {
                let buffers = LarcBuffers::new(&self.weights[..], grads);
                let buffers = if let Some([g, w]) = sums { buffers.sums(g, w) } else { buffers };
                self.plan.larc_scale(buffers, &larc.lr(0.1))
            }
            Step::LarcSgd => {
                let buffers = LarcSgdBuffers::new(&mut self.weights, &*grads).momentum(&mut self.moment);
                let buffers = if let Some([g, w]) = sums { buffers.sums(g, w) } else { buffers };
                self.plan.larc_sgd_step(buffers, &larc.lr(0.1), &SgdOptions::default())
            }
            Step::Novograd | Step::LarcNovograd => {
                let buffers = NovogradBuffers::new(&mut self.weights, &*grads, &mut self.moment, &mut self.second);
                let options = NovogradOptions::new(0.1);
                match (kind, sums) {
                    (Step::Novograd, None) => self.plan.novograd_step(buffers, &options),
                    (Step::Novograd, Some([g, _])) => self.plan.novograd_step(buffers.grad_sums(g), &options),
                    (_, None) => self.plan.larc_novograd_step(buffers, &larc, &options),
                    (_, Some([g, w])) => self.plan.larc_novograd_step(buffers.sums(g, w), &larc, &options),
                }
            }
        }
    }
}

#[test]
fn ranks_with_pieces_step_as_one_plan() {
    for kind in [Step::Novograd, Step::Larc, Step::LarcSgd, Step::LarcNovograd] {
        let start = values(0);
        let mut one = Side::new(whole(), start.clone());
        let mut ranks: Vec<_> = (0..4).map(|rank| Side::new(shard(rank), pieces(&start, rank))).collect();
        for t in 1..=3 {
            let mut grads = values(t);
            let mut shares: Vec<_> = (0..4).map(|rank| pieces(&grads, rank)).collect();
            let mut total = Sums::default();
            for (rank, share) in ranks.iter_mut().zip(&shares) {
                let own = rank.sums(share);
                (0..4).for_each(|l| (total[0][l], total[1][l]) = (total[0][l] + own[0][l], total[1][l] + own[1][l]));
            }
            one.step(kind, &mut grads, None).unwrap();
            for (r, (rank, share)) in ranks.iter_mut().zip(&mut shares).enumerate() {
                rank.step(kind, share, Some(&total)).unwrap();
                assert_eq!(rank.second, one.second); // of layers that are empty here, too
                assert_eq!(rank.weights, pieces(&one.weights, r));
                assert_eq!(rank.moment, pieces(&one.moment, r));
                assert_eq!(*share, pieces(&grads, r));
            }
        }
        assert!(matches!(kind, Step::Larc) || one.weights != start);
    }
}

#[test]
fn a_whole_step_of_a_shard_is_refused() {
    let weights = pieces(&values(0), 0);
    let mut side = Side::new(shard(0), weights.clone());
    for kind in [Step::Novograd, Step::Larc, Step::LarcSgd, Step::LarcNovograd] {
        let mut grads = pieces(&values(1), 0);
        let error = side.step(kind, &mut grads, None).unwrap_err();
        assert_eq!(error.status(), sys::LAYERWISE_ERROR_COMBINATION);
        assert!(error.message().contains("plan is for a shard"), "{error}");
        assert_eq!((&side.weights, grads), (&weights, pieces(&values(1), 0)));
    }
}

fn total(claims: &[Vec<f64>]) -> Vec<f64> {
    (0..claims[0].len()).map(|i| claims.iter().map(|claim| claim[i]).sum()).collect()
}

#[test]
fn ranks_that_agree_are_verified() {
    let plans: Vec<_> = (0..4).map(shard).collect();
    for plan in &plans {
        assert_eq!(plan.query(Query::GlobalFingerprint), whole().query(Query::GlobalFingerprint));
    }
    let options = NovogradOptions::new(0.1);
    let claims: Vec<_> = plans.iter().map(|plan| plan.shard_claim(options.as_bytes()).unwrap()).collect();
    assert_eq!(claims[0].len(), sys::LAYERWISE_CLAIM_HEAD as usize + 8);
    let heads: Vec<_> = plans.iter().map(|plan| plan.shard_claim_head(&[]).unwrap()).collect();
    assert_eq!(heads[0].len(), sys::LAYERWISE_CLAIM_HEAD as usize);
    for (rank, plan) in plans.iter().enumerate() {
        plan.shard_verify(&claims[rank], &total(&claims)).unwrap();
        plan.shard_verify(&heads[rank], &total(&heads)).unwrap();
    }
}

#[test]
fn ranks_that_disagree_all_hear_of_it() {
    let plans: Vec<_> = (0..4).map(shard).collect();
    // One rank's lr; the options are compared whole.
    let lr = |rank| NovogradOptions::new(if rank == 2 { 0.2 } else { 0.1 });
    let claims: Vec<_> = (0..4).map(|rank| plans[rank].shard_claim(lr(rank).as_bytes()).unwrap()).collect();
    for (plan, claim) in plans.iter().zip(&claims) {
        let error = plan.shard_verify(claim, &total(&claims)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RanksDisagree);
        assert_eq!(error.status_name(), "LAYERWISE_ERROR_RANKS_DISAGREE");
        assert!(error.message().contains("the 4 ranks differ in their agreed bytes: lr"), "{error}");
    }
    // A piece that two ranks have, and one that none has.
    let ranks = [0, 1, 2, 2];
    let claims: Vec<_> = ranks.map(|rank| plans[rank].shard_claim(&[]).unwrap()).into();
    for (rank, claim) in ranks.into_iter().zip(&claims) {
        let error = plans[rank].shard_verify(claim, &total(&claims)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RanksDisagree);
        let rule = "layer 0 has 24581 elements; the 4 ranks count 32768 of them: some are counted twice";
        assert!(error.message().contains(rule), "{error}");
    }
}

#[test]
fn replicas_are_not_counted() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    plan.set_shard(&ShardOptions::new(&[2, 3]).counted(&[true, false])).unwrap();
    let mut sums = [f64::NAN; 2];
    plan.partial_norms(NormBuffers::new(&[1f32; 5], &mut sums), Norm::L2).unwrap();
    assert_eq!(sums, [2.0, 0.0]);
}

#[test]
fn what_a_shard_cannot_be_is_refused() {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3])).unwrap();
    let error = plan.shard_claim(&[]).unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Argument, sys::LAYERWISE_ERROR_COMBINATION));
    let whole = [2, 3];
    let shard = ShardOptions::new(&whole);
    for (options, rule) in [
        (ShardOptions::new(&[2]), "layer_sizes has 1 values"),
        (shard.layer_begins(&[0, 0, 0]), "layer_begins has 3 values"),
        (shard.counted(&[true]), "counted has 1 values"),
        (ShardOptions::new(&[2, 2]), "layer_sizes[1] is 2"),
        (shard.layer_begins(&[1, 0]), "layer_begins[0] is 1"),
    ] {
        let error = plan.set_shard(&options).unwrap_err();
        assert!(error.message().contains(rule), "{error}");
    }
    plan.set_shard(&shard).unwrap();
    let claim = plan.shard_claim(&[]).unwrap();
    let error = plan.shard_verify(&claim, &claim[..17]).unwrap_err();
    assert_eq!(error.message(), "total has 17 numbers; it must have the claim's 21");
    assert_eq!(plan.shard_verify(&claim, &[0.0; 21]).unwrap_err().kind(), ErrorKind::RanksDisagree);
}

/// Sums that a step has no use for, or lacks, were once dropped in silence: the step then took its own.
#[test]
fn sums_that_do_not_fit_the_step_are_refused() {
    let mut plan = Plan::new(&PlanOptions::new(&[2])).unwrap();
    let (mut weights, mut moment, mut second, sums) = ([1f32; 2], [0f32; 2], [0f32; 1], [1.0]);
    let (grads, larc, options) = ([1f32; 2], LarcOptions::default(), NovogradOptions::new(0.1));
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut moment, &mut second).sums(&sums, &sums);
    let error = plan.novograd_step(buffers, &options).unwrap_err();
    assert_eq!(error.message(), "weight_sums is given; NovoGrad without LARC needs grad_sums alone");
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut moment, &mut second).grad_sums(&sums);
    let error = plan.larc_novograd_step(buffers, &larc, &options).unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_NULL_ARGUMENT);
    assert!(error.message().contains("weight_sums"), "{error}");
    let pointers = NovogradPointers {
        weights: weights.as_mut_ptr().cast(),
        grads: grads.as_ptr().cast(),
        first_moment: moment.as_mut_ptr().cast(),
        second_moment: second.as_mut_ptr().cast(),
        weight_sums: sums.as_ptr(),
        ..NovogradPointers::default()
    };
    // SAFETY: arrays of the plan's dtypes and sizes, that live until the call has returned.
    let error = unsafe { plan.larc_novograd_step_raw(&pointers, &larc, &options, std::ptr::null_mut()) }.unwrap_err();
    assert_eq!(error.status(), sys::LAYERWISE_ERROR_NULL_ARGUMENT);
    assert_eq!((weights, moment, second), ([1.0; 2], [0.0; 2], [0.0]));
}

#[test]
fn errors_have_kinds() {
    let kind = |options: &PlanOptions| Plan::new(options).unwrap_err().kind();
    assert_eq!(kind(&PlanOptions::new(&[-1])), ErrorKind::Layout);
    assert_eq!(kind(&PlanOptions::new(&[1]).threads(-1)), ErrorKind::Argument);
    assert_eq!(kind(&PlanOptions::new(&[1]).weights_dtype(layerwise::Dtype::Float64)), ErrorKind::Dtype);
}
