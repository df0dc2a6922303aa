use layerwise::{NovogradBuffers, NovogradOptions, Plan, PlanOptions};

fn main() -> layerwise::Result<()> {
    let mut plan = Plan::new(&PlanOptions::new(&[2, 3]))?; // two layers, of 2 and 3 elements
    let (mut weights, grads) = ([1f32, 2., 3., 4., 5.], [0.1f32, 0.2, 0.3, 0.4, 0.5]);
    let (mut first_moment, mut second_moment) = ([0f32; 5], [0f32; 2]);
    let buffers = NovogradBuffers::new(&mut weights, &grads, &mut first_moment, &mut second_moment);
    plan.novograd_step(buffers, &NovogradOptions::new(0.01))?;
    weights.iter().for_each(|weight| print!("{weight:.6} "));
    Ok(())
}
