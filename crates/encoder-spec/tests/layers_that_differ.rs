//! Students whose layers have attention of their own width, or lack a part.

use encoder_spec::{
    AttentionShape, BertConfig, Encoder, LayerParts, Parts, architecture, feed_forwards, layer_parts, layered_config,
    student_config, student_frame,
};
use mlp_space::{Architecture, StudentShape};

const PLAIN: &str = "linear1_2(gelu(linear1_2(x,wb1)),wb2)";

/// Four layers of 12 channels, 3 heads, feed-forwards of half of 40.
fn frame() -> BertConfig {
    let shape =
        StudentShape { vocab: 20, embed: 5, hidden: 12, base: 40, heads: 3, max_positions: 8, segments: 2, fit: None };
    student_frame(&shape, 4)
}

fn plain() -> Architecture {
    [PLAIN; 4].join("; ").parse().unwrap()
}

fn parts() -> Vec<LayerParts> {
    let usual = LayerParts::usual(&frame());
    vec![
        LayerParts { attention: Some(AttentionShape { heads: 2, width: 10 }), ..usual },
        LayerParts { attention: None, ..usual },
        LayerParts { attention: Some(AttentionShape { heads: 4, width: 24 }), feed_forward: false },
        usual,
    ]
}

fn config() -> BertConfig {
    layered_config(&frame(), &plain(), &parts()).unwrap()
}

#[test]
fn layers_are_written_to_the_configuration_and_read_back() {
    let text = config().to_json().unwrap();
    let read = BertConfig::from_json(&text).unwrap();
    assert_eq!(read, config());
    assert_eq!(layer_parts(&read).unwrap(), parts());
    let written: Vec<(Option<usize>, Option<usize>)> =
        read.layers.iter().map(|layer| (layer.attention_heads, layer.attention_size)).collect();
    assert_eq!(written, [(Some(2), Some(10)), (Some(0), None), (Some(4), Some(24)), (None, None)]);
    let expressions = feed_forwards(&read).unwrap();
    let there: Vec<bool> = expressions.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, true, false, true]);
    let message = architecture(&read).unwrap_err().to_string();
    assert!(message.starts_with("layer 3: has no feed-forward"), "{message}");
}

#[test]
fn layers_that_say_nothing_of_their_attention_are_written_as_before() {
    let usual = vec![LayerParts::usual(&frame()); 4];
    let config = layered_config(&frame(), &plain(), &usual).unwrap();
    assert_eq!(config, student_config(&frame(), &plain()).unwrap());
    let text = config.to_json().unwrap();
    assert!(!text.contains("attention_heads\": ") || text.matches("attention_heads\": ").count() == 1, "{text}");
    assert!(!text.contains("attention_size"), "{text}");
}

#[test]
fn parameters_and_multiply_adds_follow_from_the_layers() {
    let count = Encoder::describe(&config(), Parts::NONE).unwrap().count(8);
    // Projections of 12 to 10 and to 24, one usual layer; each with its norm.
    let attention = |width: u64| 3 * (12 * width + width) + width * 12 + 12 + 24;
    let feed_forward = 12 * 20 + 20 + 20 * 12 + 12 + 24;
    let part = |part| count.parts[&part];
    assert_eq!(part(encoder_spec::CountPart::Attention).params, attention(10) + attention(24) + attention(12));
    assert_eq!(part(encoder_spec::CountPart::FeedForward).params, 3 * feed_forward);
    let macs = |width: u64| 8 * 4 * 12 * width + 2 * 8 * 8 * width;
    assert_eq!(part(encoder_spec::CountPart::Attention).macs, macs(10) + macs(24) + macs(12));
    let of_layers: Vec<u64> = count.layers.iter().map(|layer| layer.params).collect();
    assert_eq!(of_layers, [feed_forward, feed_forward, 0, feed_forward]);
}

#[test]
fn the_last_layer_counts_where_it_has_no_feed_forward() {
    let usual = LayerParts::usual(&frame());
    let mut parts = vec![usual; 4];
    parts[3].feed_forward = false;
    let config = layered_config(&frame(), &plain(), &parts).unwrap();
    let count = Encoder::describe(&config, Parts::NONE).unwrap().count(8);
    assert_eq!(count.layers.len(), 4);
    assert_eq!(count.layers[3].params, 0);
}

#[test]
fn a_layer_that_cannot_be_built_is_named_with_what_is_wrong() {
    let usual = LayerParts::usual(&frame());
    let message = |layer: LayerParts| {
        let parts = [usual, layer, usual, usual];
        layered_config(&frame(), &plain(), &parts).unwrap_err().to_string()
    };
    let neither = LayerParts { attention: None, feed_forward: false };
    assert_eq!(message(neither), "layer 2: has neither attention nor a feed-forward; leave the layer out");
    let uneven = LayerParts { attention: Some(AttentionShape { heads: 3, width: 10 }), ..usual };
    assert_eq!(message(uneven), "layer 2: the number of attention heads must divide the attention width 10, is 3");
    let empty = LayerParts { attention: Some(AttentionShape { heads: 1, width: 0 }), ..usual };
    assert!(message(empty).contains("width must be between 1 and"), "{}", message(empty));
    let few = layered_config(&frame(), &plain(), &[usual; 3]).unwrap_err().to_string();
    assert!(few.contains("3 layers") && few.contains("4 expressions"), "{few}");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused_with_the_layer() {
    let message = |change: &dyn Fn(&mut BertConfig)| {
        let mut config = config();
        change(&mut config);
        Encoder::describe(&config, Parts::NONE).unwrap_err().to_string()
    };
    let said = message(&|c| c.layers[1].attention_size = Some(8));
    assert_eq!(said, "layer 2: `attention_heads` 0 means no attention, but `attention_size` is 8");
    let said = message(&|c| c.layers[0].attention_heads = None);
    assert!(said.contains("layer 1") && said.contains("must divide the attention width 10, is 3"), "{said}");
    let said = message(&|c| c.layers[2].stacks = 2);
    assert!(said.starts_with("layer 3: has no feed-forward, so"), "{said}");
    let said = message(&|c| c.layers[1].expression = "none".into());
    assert!(said.contains("layer 2"), "{said}");
}

#[test]
fn the_usual_heads_need_not_divide_the_hidden_width_where_every_layer_has_its_own() {
    let frame = BertConfig { num_attention_heads: 5, ..frame() };
    let message = student_config(&frame, &plain()).unwrap().validate().unwrap_err().to_string();
    assert!(message.contains("num_attention_heads"), "{message}");
    let own = LayerParts { attention: Some(AttentionShape { heads: 2, width: 16 }), feed_forward: true };
    let config = layered_config(&frame, &plain(), &[own; 4]).unwrap();
    Encoder::describe(&config, Parts::NONE).unwrap().check().unwrap();
}

#[test]
fn a_base_wider_than_the_hidden_states_takes_plain_feed_forwards_and_refuses_what_cannot_align() {
    let wide = |expression: &str, pad: bool| {
        let architecture: Architecture = expression.parse().unwrap();
        let frame = BertConfig { intermediate_size: 48, pad_operands: pad, ..frame() };
        Encoder::describe(&student_config(&frame, &architecture).unwrap(), Parts::NONE)
    };
    let four_times = wide("linear1_1(gelu(linear1_1(x,wb1)),wb2)", false).unwrap();
    assert_eq!(four_times.layers[0].feed_forward.inner, 48);
    assert_eq!(four_times.layers[0].feed_forward.blocks[0].dense1.weight, [48, 12]);
    // The operator cuts what the second map needs 48 channels of, and padding does not.
    let mixed = "linear1_1(relu(mul(linear1_1(x,wb1),x)),wb2)";
    let message = wide(mixed, false).unwrap_err().to_string();
    assert!(message.contains("layer 1") && message.contains("48") && message.contains("12"), "{message}");
    wide(mixed, true).unwrap();
}

#[test]
fn a_supernet_of_such_layers_has_their_attention_and_the_largest_feed_forwards() {
    let spec = Encoder::supernet(&config(), Parts::NONE).unwrap();
    spec.check().unwrap();
    let blocks: Vec<usize> = spec.layers.iter().map(|layer| layer.feed_forward.blocks.len()).collect();
    assert_eq!(blocks, [4, 4, 0, 4]);
    assert_eq!(spec.layers[0].attention.as_ref().unwrap().width(), 10);
    assert!(spec.layers[1].attention.is_none());
}
