//! Where a redirect leads.

use ureq::http::Uri;

/// The address that a `Location` header means, seen from `base`.
pub(super) fn resolve(base: &Uri, location: &str) -> Result<Uri, String> {
    let scheme = base.scheme_str().unwrap_or("https");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    // What comes after `#` is for browsers.
    let location = location.split('#').next().unwrap_or_default();
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let target: Uri = absolute.parse().map_err(|_| format!("it redirects to `{location}`, which is no address"))?;
    match (scheme, target.scheme_str(), target.host()) {
        ("https", Some("http"), _) => {
            Err(format!("it redirects from an encrypted address to an open one, `{absolute}`; that is not followed"))
        }
        (_, Some("http" | "https"), Some(_)) => Ok(target),
        _ => Err(format!("it redirects to `{absolute}`, which is no web address")),
    }
}

/// Whether two addresses are on one server: scheme, host and port agree.
pub(super) fn same_server(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && host(a).is_some() && host(a) == host(b) && port(a) == port(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(location: &str) -> Result<String, String> {
        resolve(&"https://a.org/x/y?q=1".parse().unwrap(), location).map(|uri| uri.to_string())
    }

    #[test]
    fn redirects_of_every_form_are_resolved() {
        assert_eq!(to("https://b.org/z").unwrap(), "https://b.org/z");
        assert_eq!(to("//b.org/z").unwrap(), "https://b.org/z");
        assert_eq!(to("/z?s=2#part").unwrap(), "https://a.org/z?s=2");
        assert_eq!(to("z").unwrap(), "https://a.org/x/z");
        assert_eq!(to("?q=2").unwrap(), "https://a.org/x/y?q=2");
    }

    #[test]
    fn redirects_that_give_up_encryption_or_leave_the_web_are_not_followed() {
        assert!(to("http://b.org/z").unwrap_err().contains("not followed"));
        assert!(to("file:///etc/hosts").unwrap_err().contains("no address"));
        assert!(to("ftp://b.org/z").unwrap_err().contains("no web address"));
        assert!(to("https://").unwrap_err().contains("no address"));
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let same = |a: &str, b: &str| same_server(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://a.org", "https://A.org:443/x"));
        for other in ["http://a.org", "https://a.org:8443", "https://a.org.evil.net", "https://b.a.org", "/x"] {
            assert!(!same("https://a.org", other), "{other}");
        }
    }
}
