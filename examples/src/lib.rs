//! Each trait of the project, implemented once from outside.
//!
//! | module | trait | what it does here |
//! |---|---|---|
//! | [`space`] | `nas::space::SearchSpace` | plain encoders, told by depth and width |
//! | [`strategy`] | `nas::strategy::Strategy` | hill climbing with restarts |
//! | [`store`] | `nas::study::StudyStore` | a journal of JSON lines |
//! | [`evaluator`] | `nas::driver::Evaluate`, `pipeline::SearchParts` | candidates scored untrained, in a whole run |
//! | [`teacher`] | `kd::job::Teacher` | the mean of several models |
//! | [`job`] | `train::engine::Job` | sentence vectors learned from another model |
//! | [`text_source`] | `train::text::TextSource` | text that is made when it is asked for |
//!
//! Each file ends with tests that use it.

pub mod evaluator;
pub mod job;
pub mod space;
pub mod store;
pub mod strategy;
pub mod teacher;
pub mod text_source;

#[cfg(test)]
mod tiny {
    use bert_core::{BertConfig, Parts, TaskModel};
    use burn::tensor::Device;

    /// A BERT of `layers` layers with random weights, for 64 word pieces.
    pub fn bert(layers: usize, seed: u64) -> (BertConfig, TaskModel) {
        let config = BertConfig { max_position_embeddings: 16, ..BertConfig::bert(64, 16, layers, 2, 32) };
        let config = config.with_dropout(0.0);
        let model = TaskModel::new(&config, Parts::default(), &Device::flex()).expect("the sizes fit");
        let model = model.initialized(&config, seed);
        (config, model)
    }
}
