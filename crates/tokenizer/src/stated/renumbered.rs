//! What files say of a vocabulary whose pieces get other ids.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{DECODER, JsonFile, Object, Stated};

impl Stated {
    /// The same of the pieces that `new` has an id for, by their old ones.
    pub fn renumbered(&self, new: &HashMap<u32, u32>) -> Self {
        let of = |id: u64| u32::try_from(id).ok().and_then(|id| new.get(&id)).copied();
        let listed = |config: &mut Object| {
            if let Some(Value::Object(tokens)) = config.get_mut(DECODER) {
                let kept = std::mem::take(tokens).into_iter();
                tokens.extend(kept.filter_map(|(id, token)| Some((of(id.parse().ok()?)?.to_string(), token))));
            }
        };
        let added = |tokens: &mut Object| {
            let kept = std::mem::take(tokens).into_iter();
            tokens.extend(kept.filter_map(|(token, id)| Some((token, json!(of(id.as_u64()?)?)))));
        };
        Self {
            config: self.config.as_ref().map(|file| file.changed(listed)),
            added: self.added.as_ref().map(|file| file.changed(added)),
            rows: Some(new.len()),
            listed: self.listed.iter().filter_map(|(id, token)| Some((of((*id).into())?, token.clone()))).collect(),
            ..self.clone()
        }
    }
}

impl JsonFile {
    /// The file with `change` made to it.
    fn changed(&self, change: impl FnOnce(&mut Object)) -> Self {
        let mut object = self.object.clone();
        change(&mut object);
        let bytes = format!("{:#}\n", Value::Object(object.clone())).into_bytes();
        Self { object, bytes }
    }
}
