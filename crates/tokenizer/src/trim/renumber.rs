//! Ids in a `tokenizer.json` beside its vocabulary: those of added tokens, and those that stand around texts.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Ids that are mentioned.
pub(super) fn mentioned(json: &Value) -> Vec<u32> {
    let mut found = Vec::new();
    each(&mut json.clone(), &mut |id| found.extend(id.as_u64().and_then(|id| u32::try_from(id).ok())));
    found
}

/// Replaces every id that is mentioned by its `new` one.
pub(super) fn mentions(json: &mut Value, new: &HashMap<u32, u32>) {
    each(json, &mut |id| {
        let known = id.as_u64().and_then(|id| new.get(&u32::try_from(id).ok()?));
        if let Some(new) = known {
            *id = json!(new);
        }
    });
}

fn each(json: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    let added = json["added_tokens"].as_array_mut();
    added.into_iter().flatten().for_each(|token| visit(&mut token["id"]));
    around(&mut json["post_processor"], visit);
}

fn around(processor: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    let Some(object) = processor.as_object_mut() else { return };
    for (key, value) in object {
        match (key.as_str(), value) {
            ("sep" | "cls", Value::Array(pair)) => pair.iter_mut().skip(1).for_each(&mut *visit),
            ("special_tokens", Value::Object(tokens)) => {
                let lists = tokens.values_mut().filter_map(|token| token["ids"].as_array_mut());
                lists.flatten().for_each(&mut *visit);
            }
            ("processors", Value::Array(parts)) => parts.iter_mut().for_each(|part| around(part, visit)),
            _ => {}
        }
    }
}
