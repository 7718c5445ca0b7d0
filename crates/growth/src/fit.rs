//! Whether two configurations can be of one model that grows.

use encoder_spec::{BertConfig, Encoder, FeedForward, Layer, Linear, Shape, TaskHeadConfig};

use crate::{Error, Result};

/// Checks everything that no operator changes.
///
/// # Errors
/// [`Error::Differs`] or [`Error::Shrinks`] for the first field that is in the way.
pub(crate) fn configs(small: &BertConfig, large: &BertConfig) -> Result<()> {
    type Field = (&'static str, fn(&BertConfig) -> String);
    let same: [Field; 15] = [
        ("model_type", |c| format!("{:?}", c.model_type.name())),
        ("vocab_size", |c| c.vocab_size.to_string()),
        ("type_vocab_size", |c| c.type_vocab_size.to_string()),
        ("hidden_act", |c| format!("{:?}", c.hidden_act)),
        ("layer_norm_eps", |c| c.layer_norm_eps.to_string()),
        ("default_norm_eps", |c| c.outer_norm_eps().to_string()),
        ("normalization_type", |c| format!("{:?}", c.normalization_type)),
        ("embedding_size", |c| if c.embedding_size.is_some() { "there" } else { "absent" }.into()),
        ("trigram_input", |c| c.trigram_input.to_string()),
        ("intra_bottleneck_size", |c| match c.bottleneck() {
            Some(b) => format!("there ({:?}, norm {})", b.attention_input, b.norm),
            None => "absent".into(),
        }),
        ("tie_key_query", |c| c.tie_key_query.to_string()),
        ("num_feedforward_networks", |c| c.num_feedforward_networks.to_string()),
        ("pad_operands", |c| c.pad_operands.to_string()),
        ("fit_size", |c| c.fit_size.map_or("absent".into(), |size| size.to_string())),
        ("task_heads", |c| c.task_heads.iter().map(|head| described(head, c)).collect::<Vec<_>>().join(", ")),
    ];
    let differs = |field, small: String, large: String| {
        if small == large { Ok(()) } else { Err(Error::Differs { field, small, large }) }
    };
    for (field, of) in same {
        differs(field, of(small), of(large))?;
    }
    // A ModernBERT has no table of positions.
    if small.modern.is_none() {
        let positions = |c: &BertConfig| c.max_position_embeddings.to_string();
        differs("max_position_embeddings", positions(small), positions(large))?;
    }
    // Which layers are global may differ, and is looked at layer by layer.
    let modern = |c: &BertConfig| {
        c.modern.clone().map(|m| {
            format!("{:?}", encoder_spec::ModernBertConfig { global_layers: Vec::new(), embedding_dropout: 0.0, ..m })
        })
    };
    differs("modern", modern(small).unwrap_or_default(), modern(large).unwrap_or_default())?;
    for (what, small, large) in [
        ("num_hidden_layers", small.num_hidden_layers, large.num_hidden_layers),
        ("hidden_size", small.hidden_size, large.hidden_size),
        ("embedding_size", small.embed_width(), large.embed_width()),
        ("intra_bottleneck_size", small.inner_width(), large.inner_width()),
    ] {
        grows(&format!("`{what}`"), small, large)?;
    }
    Ok(())
}

/// What has to agree of a head; a vector without a dense layer is as wide as the hidden states.
fn described(head: &TaskHeadConfig, config: &BertConfig) -> String {
    let outputs = match head.vector {
        Some(vector) if vector.size.is_none() => "hidden".into(),
        _ => head.outputs(config.hidden_size).to_string(),
    };
    format!("{} ({}, {outputs} outputs)", head.task, head.kind.name())
}

pub(crate) fn grows(what: &str, small: usize, large: usize) -> Result<()> {
    match large >= small {
        true => Ok(()),
        false => Err(Error::Shrinks { what: what.into(), small, large }),
    }
}

/// Checks that a layer of the large model can come from this one of the small model, but for widths.
///
/// # Errors
/// [`Error::Layer`].
pub(crate) fn layers(small: (usize, &Layer<Shape>), large: (usize, &Layer<Shape>)) -> Result<()> {
    let ((source, small), (index, large)) = (small, large);
    let fault = |message: String| Err(Error::Layer { layer: index + 1, source_layer: source + 1, message });
    let has = |there: bool| if there { "has one" } else { "has none" };
    let (a, b) = (small.attention.is_some(), large.attention.is_some());
    if a != b {
        return fault(format!("the large layer's attention: it {}, the small layer {}", has(b), has(a)));
    }
    let blocks = |f: &FeedForward<Shape>| f.blocks.len();
    let (a, b) = (blocks(&small.feed_forward), blocks(&large.feed_forward));
    if a != b {
        return fault(format!("it stacks {b} feed-forwards, the small layer {a}; their number cannot grow"));
    }
    if a > 0 && small.feed_forward.program.steps() != large.feed_forward.program.steps() {
        return fault("its feed-forward computes another expression".into());
    }
    Ok(())
}

/// Whether attention of two layers sees the same tokens in the same way.
pub(crate) fn sees_alike(small: &Layer<Shape>, large: &Layer<Shape>) -> bool {
    let seen = |layer: &Layer<Shape>| layer.attention.as_ref().map(|a| (a.rotary, a.reach));
    seen(small) == seen(large)
}

/// Checks that nothing grows that there is no operator for.
///
/// # Errors
/// [`Error::NoOperator`].
pub(crate) fn parts(small: &Encoder<Shape>, large: &Encoder<Shape>) -> Result<()> {
    let no = |part: &str, message: &str| Err(Error::NoOperator { part: part.into(), message: message.into() });
    let embed = |e: &Encoder<Shape>| e.embedding.words[1];
    let is_wider = (small.hidden(), embed(small)) != (large.hidden(), embed(large));
    if is_wider && large.mlm.as_ref().is_some_and(|mlm| mlm.extra.is_some()) {
        return no(
            "the masked-language-model head",
            "it has output weights beside the word table, whose channels are not those of the table; let `hidden_size` and `embedding_size` stay \
             as they are",
        );
    }
    let is_vector = |dense: &Option<Linear<Shape>>| dense.is_none();
    if small.hidden() != large.hidden() && large.heads.iter().any(|head| is_vector(&head.dense)) {
        return no(
            "the vector of a text",
            "it is as wide as the hidden states; give its head a dense layer (`size`), or let `hidden_size` stay as it is",
        );
    }
    Ok(())
}
