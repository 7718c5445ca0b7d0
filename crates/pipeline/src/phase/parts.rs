//! What a search is made of, for programs that bring parts of their own.

use mlp_space::Architecture;
use nas::budget::Latency;
use nas::driver::Evaluate;
use nas::pareto::Measure;
use nas::space::{CoarseSpace, EncodedSpace, EncoderGenome, OperatorSpace, Student, WidthSpace};
use nas::strategy::{
    Evolution, EvolutionConfig, LearnedPartition, Nsga2, Nsga2Config, PartitionConfig, RandomSearch, Strategy, Tpe,
    TpeConfig,
};
use nas::study::{SqliteStudy, StudyIdentity, StudyStore};
use run_store::rundir::RunPaths;

use super::Encoders;
use crate::evaluate::{ProxyTraining, SupernetSlice};
use crate::latency::CandidateLatency;
use crate::recipe::{Recipe, StrategyKind};
use crate::{Error, Result};

/// The search space of a stage.
pub type Space = dyn EncodedSpace<Genome = Architecture>;

/// What a search is made of. Each method gives what the recipe says, unless it is written anew.
pub trait SearchParts {
    /// Names what is written anew, and its settings: a study is continued only by a run with the same name.
    fn name(&self) -> String {
        String::new()
    }

    /// What the stages 1 to 3 draw from, for a `student` whose feed-forwards are searched; `winner` is that of the stage before.
    ///
    /// # Errors
    /// A budget that nothing meets, a winner that does not fit.
    fn space(
        &mut self,
        recipe: &Recipe,
        stage: u32,
        student: Student,
        winner: Option<&Architecture>,
    ) -> Result<Box<Space>> {
        Ok(match (stage, winner) {
            (1, _) => Box::new(CoarseSpace::new(student, &recipe.budget)?),
            (2, Some(winner)) => Box::new(OperatorSpace::new(student, winner.clone(), &recipe.budget)?),
            (_, Some(winner)) => Box::new(WidthSpace::new(student, winner.clone(), &recipe.budget)?),
            (_, None) => return Err(Error::Mismatch(format!("stage {stage} begins with a winner"))),
        })
    }

    /// What decides the next candidate of a stage.
    ///
    /// # Errors
    /// Settings that it cannot run with.
    fn strategy(&mut self, recipe: &Recipe, stage: u32) -> Result<Box<dyn Strategy<Space>>> {
        let _ = stage;
        strategy(recipe)
    }

    /// The same of stage 1 of a search among whole encoders.
    ///
    /// # Errors
    /// Settings that it cannot run with.
    fn encoder_strategy(&mut self, recipe: &Recipe) -> Result<Box<dyn Strategy<Encoders>>> {
        strategy(recipe)
    }

    /// The study of a run, begun where there is none yet.
    ///
    /// # Errors
    /// It belongs to another run, or cannot be opened.
    fn open_study(&mut self, paths: &RunPaths, identity: &StudyIdentity) -> Result<Box<dyn StudyStore>> {
        Ok(Box::new(SqliteStudy::open_or_create(&paths.study(), identity)?))
    }

    /// The same for reading, if there is one.
    ///
    /// # Errors
    /// It cannot be opened.
    fn read_study(&self, paths: &RunPaths) -> Result<Option<Box<dyn StudyStore>>> {
        stored_study(paths)
    }

    /// The evaluator of the stages 1 and 2, in place of a short training of each candidate.
    fn short_training<'e>(&mut self, stage: u32, usual: ProxyTraining<'e>) -> Box<dyn Evaluate<Architecture> + 'e> {
        let _ = stage;
        Box::new(usual)
    }

    /// The evaluator of stage 3, in place of a slice of the supernet as it is.
    fn supernet_slice<'e>(&mut self, usual: SupernetSlice<'e>) -> Box<dyn Evaluate<Architecture> + 'e> {
        Box::new(usual)
    }

    /// What measures candidates, where the budget limits their latency.
    fn latency(&mut self, usual: CandidateLatency) -> Box<dyn Latency<Architecture>> {
        Box::new(usual)
    }

    /// The same of whole encoders.
    fn encoder_latency(&mut self, usual: CandidateLatency) -> Box<dyn Latency<EncoderGenome>> {
        Box::new(usual)
    }
}

/// The strategy that the recipe names.
fn strategy<S>(recipe: &Recipe) -> Result<Box<dyn Strategy<S>>>
where
    S: EncodedSpace<Genome: 'static> + ?Sized + 'static,
{
    Ok(match recipe.search.strategy {
        StrategyKind::Random => Box::new(RandomSearch),
        StrategyKind::Learned => Box::new(LearnedPartition::new(PartitionConfig::learned())?),
        StrategyKind::Compatible => Box::new(LearnedPartition::new(PartitionConfig::compatible())?),
        StrategyKind::Evolution => Box::new(Evolution::new(EvolutionConfig::default())?),
        StrategyKind::Nsga2 => {
            Box::new(Nsga2::new(Nsga2Config { minimize: minimized(recipe), ..Nsga2Config::default() })?)
        }
        StrategyKind::Tpe => Box::new(Tpe::new(TpeConfig::default())?),
    })
}

/// Every part as the recipe says.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromRecipe;

impl SearchParts for FromRecipe {}

/// What NSGA-II minimizes: parameters, and latency where candidates have one.
fn minimized(recipe: &Recipe) -> Vec<Measure> {
    let timed = recipe.budget.max_latency_ms.is_some() || recipe.search.latency_table.is_some();
    [Some(Measure::Params), timed.then_some(Measure::Latency)].into_iter().flatten().collect()
}

/// The study in a run folder, if there is one and it has begun.
///
/// # Errors
/// It cannot be opened.
pub fn stored_study(paths: &RunPaths) -> Result<Option<Box<dyn StudyStore>>> {
    if !paths.study().exists() {
        return Ok(None);
    }
    match SqliteStudy::open_read_only(&paths.study()) {
        Ok(study) => Ok(Some(Box::new(study))),
        // The run was killed between making the file and the tables in it.
        Err(nas::Error::NotBegun(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
