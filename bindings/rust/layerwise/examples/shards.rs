//! Three ranks train one model, each with its own piece of every layer: as threads of one process, so that it runs
//! anywhere. An engine has ranks in processes of their own and an all-reduce in place of `Exchange`.

use std::sync::{Barrier, Mutex};

use layerwise::{Norm, NormBuffers, NovogradBuffers, NovogradOptions, Plan, PlanOptions, ShardOptions};

const SIZES: [i64; 2] = [3 * 8192, 1000];
/// By rank: where its pieces begin and end. Cuts at multiples of 8192 leave every bit as in one plan; with any other
/// cut the squares are added in another order, and the last bits of the sums may differ.
const PIECES: [[(i64, i64); 2]; 3] = [[(0, 8192), (0, 0)], [(8192, 16384), (0, 0)], [(16384, 24576), (0, 1000)]];
const STEPS: i64 = 10;

/// Adds up what the ranks bring, in rank order.
struct Exchange {
    brought: Mutex<Vec<Vec<f64>>>,
    barrier: Barrier,
}

impl Exchange {
    fn all_reduce(&self, rank: usize, own: &[f64]) -> Vec<f64> {
        self.brought.lock().unwrap()[rank] = own.to_vec();
        self.barrier.wait();
        let brought = self.brought.lock().unwrap().clone();
        self.barrier.wait(); // nobody brings the next numbers before all have read these
        (0..own.len()).map(|i| brought.iter().map(|numbers| numbers[i]).sum()).collect()
    }
}

/// Of element i of a layer; of its weights for t = 0, else of its gradient in step t.
fn value(layer: usize, i: i64, t: i64) -> f32 {
    ((i * 37 + layer as i64 * 11 + t * 101) % 256 - 128) as f32 / 256.0
}

fn elements(pieces: &[(i64, i64)], t: i64) -> Vec<f32> {
    let layers = pieces.iter().enumerate();
    layers.flat_map(|(layer, &(begin, end))| (begin..end).map(move |i| value(layer, i, t))).collect()
}

fn train_rank(rank: usize, exchange: &Exchange) -> layerwise::Result<(Vec<f32>, [f32; 2])> {
    let pieces = PIECES[rank];
    let sizes = pieces.map(|(begin, end)| end - begin);
    let mut plan = Plan::new(&PlanOptions::new(&sizes).threads(1))?;
    plan.set_shard(&ShardOptions::new(&SIZES).layer_begins(&pieces.map(|(begin, _)| begin)))?;

    // Holes, double counting and other options are an error on every rank, before anything is written.
    let options = NovogradOptions::new(0.01);
    let claim = plan.shard_claim(options.as_bytes())?;
    plan.shard_verify(&claim, &exchange.all_reduce(rank, &claim))?;

    let mut weights = elements(&pieces, 0);
    let (mut first_moment, mut second_moment, mut sums) = (vec![0f32; weights.len()], [0f32; 2], [0f64; 2]);
    for t in 1..=STEPS {
        let grads = elements(&pieces, t);
        plan.partial_norms(NormBuffers::new(&grads, &mut sums), Norm::L2)?;
        let total = exchange.all_reduce(rank, &sums);
        let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
        plan.novograd_step(buffers.grad_sums(&total), &options)?;
    }
    Ok((weights, second_moment))
}

fn train_whole() -> layerwise::Result<(Vec<f32>, [f32; 2])> {
    let whole = SIZES.map(|size| (0, size));
    let mut plan = Plan::new(&PlanOptions::new(&SIZES).threads(1))?;
    let mut weights = elements(&whole, 0);
    let (mut first_moment, mut second_moment) = (vec![0f32; weights.len()], [0f32; 2]);
    for t in 1..=STEPS {
        let grads = elements(&whole, t);
        let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
        plan.novograd_step(buffers, &NovogradOptions::new(0.01))?;
    }
    Ok((weights, second_moment))
}

fn main() -> layerwise::Result<()> {
    let ranks = PIECES.len();
    let exchange = &Exchange { brought: Mutex::new(vec![Vec::new(); ranks]), barrier: Barrier::new(ranks) };
    let trained: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ranks).map(|rank| scope.spawn(move || train_rank(rank, exchange))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a rank that returns")).collect()
    });
    let (whole, of_whole) = train_whole()?;
    for (rank, result) in trained.into_iter().enumerate() {
        let (weights, second_moment) = result?;
        let starts = [0, SIZES[0]].into_iter().zip(PIECES[rank]);
        let expected: Vec<f32> = starts
            .flat_map(|(start, (begin, end))| &whole[(start + begin) as usize..(start + end) as usize])
            .copied()
            .collect();
        assert!(second_moment == of_whole && weights == expected, "rank {rank} has other bits than one plan");
        println!("rank {rank}: {} elements, {STEPS} steps, the bits of one plan", weights.len());
    }
    Ok(())
}
