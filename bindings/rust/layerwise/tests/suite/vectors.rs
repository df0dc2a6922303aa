//! The binding carries every option to the library: the shared vectors, whose expectations come from other
//! implementations in float64 (tests/vectors/README.md says which, file by file).
//!
//! The bound. A step rounds each float32 value fewer than 8 times, every time by at most 2^-24 of a term no larger than
//! the layer's largest value; what earlier steps rounded is carried on by factors below 1. So after T steps a value is
//! off by at most 8 * T * 2^-24 of the layer's largest. v and the factors are computed in double from sums with a
//! relative error of a few 2^-24; 8 * T covers them likewise, and weights that drift apart by that much in between.

use crate::json::{floats, vectors, Json};
use layerwise::{
    Decoupled, Fold, LarcBuffers, LarcMode, LarcOptions, LarcSgdBuffers, LayerStats, Norm, NovogradBuffers,
    NovogradOptions, Plan, PlanOptions, Seed, SgdOptions, ZeroNorm,
};

struct Case<'a> {
    name: &'a str,
    sizes: Vec<i64>,
    steps: f64,
    weights: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

impl<'a> Case<'a> {
    fn new(name: &'a str, file: &Json) -> Self {
        Case {
            name,
            sizes: file.at("layer_sizes").numbers().iter().map(|&size| size as i64).collect(),
            steps: file.at("steps").number(),
            weights: floats(&file.at("initial_weights").numbers()),
            gradients: file.at("gradients").list().iter().map(|list| floats(&list.numbers())).collect(),
        }
    }

    fn unit(&self) -> f64 {
        8.0 * self.steps * (-24f64).exp2()
    }

    /// Every element within the bound, of the largest value that its layer met.
    fn assert_elements(&self, what: &str, got: &[f32], expected: &Json, scale: &[f32]) {
        let expected = expected.numbers();
        assert_eq!(got.len(), expected.len());
        let mut begin = 0;
        for &size in &self.sizes {
            let layer = begin..begin + size as usize;
            let largest = |largest: f64, i: usize| largest.max(expected[i].abs()).max(f64::from(scale[i].abs()));
            let bound = self.unit() * layer.clone().fold(0.0, largest);
            for i in layer.clone() {
                let difference = (f64::from(got[i]) - expected[i]).abs();
                assert!(difference <= bound, "{}: {what}[{i}] is {}, not {}", self.name, got[i], expected[i]);
            }
            begin = layer.end;
        }
    }

    /// Every value within the bound, of itself.
    fn assert_values(&self, what: &str, got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (layer, (got, expected)) in got.iter().zip(expected).enumerate() {
            let close = (got - expected).abs() <= self.unit() * expected.abs();
            assert!(close, "{}: {what} of layer {layer} is {got}, not {expected}", self.name);
        }
    }
}

fn novograd_options(given: &Json) -> NovogradOptions {
    let number = |name: &str| given.at(name).number();
    let flag = |name: &str, otherwise: bool| given.get(name).map_or(otherwise, Json::bool);
    NovogradOptions::new(number("lr"))
        .beta1(number("beta1"))
        .beta2(number("beta2"))
        .eps(number("eps"))
        .eps_root(given.get("eps_inside_sqrt").map_or(0.0, Json::number))
        .weight_decay(number("weight_decay"))
        .grad_averaging(flag("grad_averaging", false))
        .average_first_step(flag("average_first_step", true))
        .amsgrad(flag("amsgrad", false))
        .bias_correction(flag("bias_correction", false))
        .lr_in_momentum(flag("lr_in_momentum", false))
        .maximize(flag("maximize", false))
        .norm(if given.at("norm").text() == "inf" { Norm::Inf } else { Norm::L2 })
        .seed_second_moment(if given.at("first_step").text() == "zero" { Seed::Off } else { Seed::WhileZero })
        .decoupled_weight_decay(match given.at("decay").text().starts_with("decoupled") {
            true => Decoupled::Raw,
            false => Decoupled::Off,
        })
}

#[test]
fn novograd_follows_the_other_implementations() {
    let files = vectors("novograd-");
    assert_eq!(files.len(), 12);
    for (name, file) in &files {
        let case = Case::new(name, file);
        let given = file.at("hyper_parameters");
        let options = novograd_options(given);
        let amsgrad = given.get("amsgrad").is_some_and(Json::bool);
        let mut plan = Plan::new(&PlanOptions::new(&case.sizes)).unwrap();
        let (mut weights, zeros) = (case.weights.clone(), vec![0f32; case.weights.len()]);
        let mut first_moment = zeros.clone();
        let (mut second_moment, mut maximum) = (vec![0f32; case.sizes.len()], vec![0f32; case.sizes.len()]);
        for (gradients, step) in case.gradients.iter().zip(1..) {
            let mut buffers = NovogradBuffers::new(&mut weights, gradients, &mut first_moment, &mut second_moment);
            if amsgrad {
                buffers = buffers.max_second_moment(&mut maximum);
            }
            plan.novograd_step(buffers, &options.step(step)).unwrap();
        }
        case.assert_elements("weights", &weights, file.at("expected_weights"), &case.weights);
        case.assert_elements("first_moment", &first_moment, file.at("expected_first_moment"), &zeros);
        let doubles = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let mut expected = file.get("expected_second_moment").map(Json::numbers);
        if let Some(norms) = file.get("expected_norms") {
            // apex stores the norm, this library its square
            let power = if given.at("norm").text() == "inf" { 1 } else { 2 };
            expected = Some(norms.numbers().iter().map(|norm| norm.powi(power)).collect());
        }
        case.assert_values("second_moment", &doubles(&second_moment), &expected.unwrap());
        if amsgrad {
            let expected = file.at("expected_max_second_moment").numbers();
            case.assert_values("max_second_moment", &doubles(&maximum), &expected);
        }
    }
}

fn larc_options(given: &Json) -> LarcOptions {
    let either = |name: &str, other: &str| given.get(name).unwrap_or_else(|| given.at(other));
    let number = |name: &str| given.get(name).map_or(0.0, Json::number);
    let fold = given.get("fold_weight_decay").or_else(|| given.get("weight_decay_in_norm"));
    // OpenSeq2Seq's files name no rule: its formula gives min_update where the weights are 0.
    let zero_norm = match given.get("zero_norm").map_or("floor", Json::text) {
        "floor" => ZeroNorm::Floor,
        "freeze" => ZeroNorm::Freeze,
        "keep" => ZeroNorm::Keep,
        _ => ZeroNorm::Untouched, // apex's, in words
    };
    LarcOptions::new(number("lr"))
        .eta(either("larc_eta", "trust_coefficient").number())
        .eps(either("epsilon", "eps").number())
        .min_update(number("min_update"))
        .weight_decay(number("weight_decay"))
        .mode(if either("larc_mode", "mode").text() == "clip" { LarcMode::Clip } else { LarcMode::Scale })
        .fold_weight_decay(if fold.is_some_and(Json::bool) { Fold::Norms } else { Fold::Off })
        .zero_norm(zero_norm)
}

#[test]
fn larc_follows_the_other_implementations() {
    let files = vectors("larc-");
    assert_eq!(files.len(), 7);
    for (name, file) in &files {
        let case = Case::new(name, file);
        let given = file.at("hyper_parameters");
        let options = larc_options(given);
        let momentum = given.get("momentum").map_or(0.0, Json::number);
        let sgd = SgdOptions::default().momentum(momentum);
        let mut plan = Plan::new(&PlanOptions::new(&case.sizes)).unwrap();
        let (mut weights, zeros) = (case.weights.clone(), vec![0f32; case.weights.len()]);
        let mut momentum_buffer = zeros.clone();
        let mut stats = vec![LayerStats::default(); case.sizes.len()];
        for (step, gradients) in case.gradients.iter().enumerate() {
            let mut scaled = gradients.clone();
            plan.larc_scale(LarcBuffers::new(&weights, &mut scaled).layer_stats(&mut stats), &options).unwrap();
            if let Some(expected) = file.get("expected_factors") {
                let factors: Vec<_> = stats.iter().map(|row| row.factor).collect();
                case.assert_values("factor", &factors, &expected.list()[step].numbers());
            }
            let expected = &file.at("expected_scaled_gradients").list()[step];
            case.assert_elements("scaled", &scaled, expected, &zeros);
            let mut buffers = LarcSgdBuffers::new(&mut weights, gradients);
            if momentum != 0.0 {
                buffers = buffers.momentum(&mut momentum_buffer);
            }
            plan.larc_sgd_step(buffers, &options, &sgd).unwrap();
        }
        case.assert_elements("weights", &weights, file.at("expected_weights"), &case.weights);
    }
}
