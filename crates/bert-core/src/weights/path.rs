//! Where a parameter stands in the module tree.

/// The path that burn's visitors and mappers report, with the type of each container.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    parts: Vec<(String, String)>,
}

impl ModulePath {
    /// For `enter_module`.
    pub fn enter(&mut self, name: &str, container: &str) {
        self.parts.push((name.to_string(), container.to_string()));
    }

    /// For `exit_module`.
    pub fn exit(&mut self) {
        self.parts.pop();
    }

    /// Dotted path, e.g. `encoder.layers.0.attention.query.weight`.
    pub fn join(&self) -> String {
        self.parts.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Name of the parameter itself, e.g. `weight`.
    pub fn leaf(&self) -> &str {
        self.parts.last().map_or("", |(n, _)| n)
    }

    /// Whether the parameter is the weight of a linear layer, which files hold transposed.
    pub fn is_linear_weight(&self) -> bool {
        self.container().ends_with(":Linear") && self.leaf() == "weight"
    }

    fn container(&self) -> &str {
        self.parts.last().map_or("", |(_, c)| c)
    }
}
