//! The search among whole encoders: three rungs of successive halving.
//!
//! Stage 1 draws candidates and trains each for few steps or none; the best go on to stage 2 and the best of these to stage 3, each time with the
//! steps of that stage (Jamieson & Talwalkar 2016). Every rung scores anew, from the weights that the candidate begins with.

use bert_core::{BertConfig, Parts};
use kd::objective::Source;
use nas::driver::StageOutcome;
use nas::halving::{promoted, promoted_along};
use nas::space::{EncodedSpace, EncoderChoices, EncoderGenome, EncoderSpace, ListedSpace, SearchSpace, WithinLatency};
use nas::strategy::InOrder;
use nas::study::Trial;

use super::beginning::Origin;
use super::distillation::plan;
use super::stages::{Study, stage};
use super::winner::{MOST_MEASURED, front_cost, measured_winner, none_holds, smaller};
use super::{Context, Data, PhaseId, PhaseSpec, Teachers, Winner};
use crate::evaluate::{EncoderTraining, PlanOf};
use crate::latency::Fastest;
use crate::recipe::{Begin, Recipe, Students};
use crate::{Error, Result};

/// The space of whole encoders.
pub type Encoders = dyn EncodedSpace<Genome = EncoderGenome>;

/// Tokens that candidates are fitted to their teacher on: a quarter of what the winner gets, since it takes as much less time and all candidates get
/// the same.
pub(crate) const FITTED_TOKENS: usize = 8_192;

/// What a stage does, from an architecture of it: one of EfficientBERT's stages, or a rung of the search among whole encoders.
pub fn stage_title(stage: u32, genome: Option<&str>) -> &'static str {
    match (stage, genome.is_some_and(|genome| genome.parse::<EncoderGenome>().is_ok())) {
        (1, true) => "Stage 1: encoders as drawn",
        (2, true) => "Stage 2: the best of stage 1, trained longer",
        (3, true) => "Stage 3: the best of stage 2, trained longer still",
        _ => PhaseId::Stage(stage).title(),
    }
}

/// What stage 1 draws from.
///
/// # Errors
/// Choices that make no student, or a budget that none of them meets.
pub(crate) fn encoder_space(recipe: &Recipe, choices: &EncoderChoices, frame: &BertConfig) -> Result<EncoderSpace> {
    Ok(EncoderSpace::new(frame, Parts::POOLER, recipe.latency.seq, choices.clone(), &recipe.budget)?)
}

/// What the run's latency limit leaves of a space.
pub(super) fn encoders_within(run: &Context<'_>, space: Box<EncoderSpace>) -> Box<Encoders> {
    let limit = run.limit.as_ref();
    match limit.and_then(|limit| Some((limit, limit.bound_ms(0)?, &limit.fastest))) {
        Some((limit, bound, Fastest::Encoder(known))) => {
            Box::new(WithinLatency::new(space, limit.predicted_encoders(), bound, known.clone()))
        }
        _ => space,
    }
}

/// Runs the three rungs on the study of the run folder.
///
/// # Errors
/// A budget that nothing meets, a study that belongs to another run, a rung without a complete trial, training that fails for another reason than
/// the candidate.
pub fn search_encoders(
    run: &mut Context<'_>,
    choices: &EncoderChoices,
    frame: &BertConfig,
    teachers: &Teachers,
) -> Result<Winner> {
    let recipe = run.recipe;
    let space = encoder_space(recipe, choices, frame)?;
    let mut study = Study::open(run, frame, |parts, usual| parts.encoder_latency(usual))?;
    let origin = match recipe.student.begin {
        Begin::Teacher => Some(Origin::of(run, teachers, Some(FITTED_TOKENS))?),
        Begin::Random => None,
    };
    let shared = (frame, teachers, origin.as_ref());
    let mut best = {
        let space: &Encoders = &*encoders_within(run, Box::new(space.clone()));
        let mut strategy = run.parts.encoder_strategy(recipe)?;
        let rung = (1, recipe.search.stage1.initial_random);
        rung_of(run, rung, (space, strategy.as_mut()), &mut study, shared)?
    };
    for number in 2..=3 {
        let trials = run.spec(PhaseId::Stage(number))?.trials.unwrap_or_default();
        let before = study.store.trials(number - 1)?;
        let count = usize::try_from(trials).unwrap_or(usize::MAX);
        // Where cheaper students are wanted too, they go on beside the best.
        let members = match recipe.final_.students {
            Students::One => promoted(&before, count),
            Students::Three => promoted_along(&before, count, &[front_cost(&before)]),
        };
        let members = members.into_iter().map(|trial| space.parse(&trial.genome)).collect::<nas::Result<Vec<_>>>()?;
        let mut strategy = InOrder::new(members.clone())?;
        let listed = ListedSpace::new(Box::new(space.clone()) as Box<Encoders>, members)?;
        best = rung_of(run, (number, 0), (&listed as &Encoders, &mut strategy), &mut study, shared)?;
    }
    let config_of = |genome: &str| Ok(genome.parse::<EncoderGenome>().map_err(Error::Mismatch)?.config(frame)?);
    let (winner, config, latency) = match run.limit.is_some() {
        false => (best.best, best.genome.config(frame)?, None),
        true => {
            // Where none of the last rung is fast enough when it is measured, one of those before is the best that is.
            let mut last_first = Vec::new();
            for number in (1..=3).rev() {
                let mut trials = study.store.trials(number)?;
                trials.sort_by(Trial::order);
                last_first.extend(trials);
            }
            let found = measured_winner(run, last_first, &config_of, MOST_MEASURED)?;
            let (trial, config, verdict) = found.ok_or_else(|| none_holds(run))?;
            (trial, config, Some(verdict))
        }
    };
    let smaller = smaller(run, &study, (winner.stage, winner.number), &config_of)?;
    Ok(Winner { config, smaller, score: winner.fitness, latency, supernet: None })
}

/// One rung.
fn rung_of(
    run: &mut Context<'_>,
    (number, initial_random): (u32, u64),
    (space, strategy): (&Encoders, &mut dyn nas::strategy::Strategy<Encoders>),
    study: &mut Study<EncoderGenome>,
    (frame, teachers, origin): (&BertConfig, &Teachers, Option<&Origin<'_>>),
) -> Result<StageOutcome<EncoderGenome>> {
    let recipe = run.recipe;
    let phase = run.spec(PhaseId::Stage(number))?;
    let (on_text, on_tasks) = (phase.training_on(Data::Text)?, phase.training_on(Data::Tasks)?);
    let (data, held_out) = run.inputs.tasks(recipe, &on_tasks.settings)?;
    let text = match on_text.settings.train.steps {
        0 => None,
        _ => Some(run.inputs.text(recipe, &on_text.settings)?),
    };
    let plan_of = |of| plan_for(phase, of, teachers);
    let on_text = text.as_deref().map(|text| {
        let asked = run.teachers_for(phase.id, Source::Text, teachers);
        (asked, text, plan_of(Data::Text), &*on_text.settings)
    });
    let asked = run.teachers_for(phase.id, Source::Tasks, teachers);
    let mut evaluate = EncoderTraining {
        frame,
        origin,
        text: on_text,
        tasks: (asked, &data, plan_of(Data::Tasks), &on_tasks.settings),
        held_out: &held_out,
        score: recipe.search.score,
        devices: run.devices.clone(),
        stop: run.host.stop(),
    };
    let of_stage = (number, initial_random, phase.trials.unwrap_or_default());
    stage(run, of_stage, (space, 0), strategy, study, &mut evaluate)
}

fn plan_for<'a>(phase: &'a PhaseSpec<'a>, data: Data, teachers: &'a Teachers) -> PlanOf<'a> {
    Box::new(move |student: &BertConfig| plan(phase.training_on(data)?, student, &teachers.config))
}

/// A student with equal layers for each depth and number of heads of the choices, which every distillation of the recipe has to fit; the widest and the
/// narrowest of them.
///
/// # Errors
/// Choices that make no student.
pub(crate) fn extremes(recipe: &Recipe, choices: &EncoderChoices, frame: &BertConfig) -> Result<Vec<BertConfig>> {
    let space = encoder_space(recipe, choices, frame)?;
    let all = space.with_equal_layers();
    let width = |genome: &EncoderGenome| (genome.hidden, genome.embed, genome.base);
    let mut found: Vec<BertConfig> = Vec::new();
    for &layers in &choices.layers {
        for &heads in &choices.heads {
            let of = |genome: &&EncoderGenome| {
                let shape = genome.layers.first().and_then(|layer| layer.attention);
                shape.is_some_and(|shape| shape.heads == heads) && genome.layers.len() == layers
            };
            let ends = [
                all.iter().filter(of).min_by_key(|genome| width(genome)),
                all.iter().filter(of).max_by_key(|genome| width(genome)),
            ];
            for genome in ends.into_iter().flatten() {
                found.push(genome.config(frame)?);
            }
        }
    }
    match found.is_empty() {
        true => Err(Error::Mismatch("`search.encoder` makes no student".into())),
        false => Ok(found),
    }
}

/// A student drawn at random, as the forecast's candidates are.
///
/// # Errors
/// As [`encoder_space`].
pub(crate) fn drawn(
    recipe: &Recipe,
    choices: &EncoderChoices,
    frame: &BertConfig,
    (purpose, number): (&str, u64),
) -> Result<EncoderGenome> {
    let space = encoder_space(recipe, choices, frame)?;
    Ok(space.sample(&mut run_store::rng::keyed(recipe.seed, purpose, &[number])))
}
