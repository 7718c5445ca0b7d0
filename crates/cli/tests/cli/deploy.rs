//! What `docs/deploy.md` and `Containerfile` run: every command of this program, the unit of systemd, the image's command and its health check.
//!
//! No container engine is needed: the image itself is not built.

use std::path::Path;
use std::process::Command;

use glue_squad::task::TaskKind;

use crate::serve::Serving;
use crate::support::{outcome, plain_bert, pocket_folder, run};
use crate::tutorial::{commands, words};

const CONTAINERFILE: &str = include_str!("../../../../Containerfile");

/// The words of a list in JSON behind `instruction` in the container file.
fn listed(instruction: &str) -> Vec<String> {
    let line = CONTAINERFILE.lines().find(|line| line.starts_with(instruction)).expect("the instruction");
    serde_json::from_str(&line[line.find('[').expect("a list")..]).expect("words")
}

/// The server that a command line starts, at a free port of this machine and with the model here.
fn served(dir: &Path, words: &[String]) -> Serving {
    assert_eq!(words[..2], ["efficientbert", "serve"]);
    let mut args: Vec<&str> = words[2..].iter().map(String::as_str).collect();
    if let Some(at) = args.iter().position(|word| *word == "--port") {
        args.drain(at..at + 2);
    }
    for word in &mut args {
        *word = match *word {
            "/model" | "/srv/student" => "student",
            "0.0.0.0" => "127.0.0.1",
            other => other,
        };
    }
    Serving::start(dir, &args)
}

fn stopped(mut serving: Serving) {
    serving.signal("-TERM");
    serving.event("stopped");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn every_command_of_the_page_about_deployment_works() {
    let page = include_str!("../../../../docs/deploy.md");
    let dir = pocket_folder(&[]);
    plain_bert(dir.path(), "student", &[TaskKind::Sst2]);
    let lines = commands(page);
    let (mut ran, mut servers) = (Vec::new(), 0);
    for words in lines.iter().filter(|words| words.first().is_some_and(|word| word == "efficientbert")) {
        let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        if args[0] == "serve" {
            stopped(served(dir.path(), words));
            servers += 1;
        } else {
            let done = run(dir.path(), &args);
            assert_eq!(done.code, Some(0), "{}: {}", words.join(" "), done.stderr);
            ran.push(args[0]);
        }
    }
    assert_eq!((ran, servers), (vec!["predict", "export"], 1));
    for name in ["model.onnx", "tokenizer.json", "config.json"] {
        assert!(dir.path().join("onnx").join(name).is_file(), "{name}");
    }
    let start = page.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).expect("a unit");
    stopped(served(dir.path(), &words(start)));
    let listed = page.split("`efficientbert serve ").nth(1).and_then(|rest| rest.split('`').next()).expect("options");
    stopped(served(dir.path(), &words(&format!("efficientbert serve {listed}"))));
}

#[test]
fn the_command_of_the_image_serves_and_its_health_check_tells() {
    let dir = pocket_folder(&[]);
    plain_bert(dir.path(), "student", &[TaskKind::Sst2]);
    let serving = served(dir.path(), &[listed("ENTRYPOINT"), listed("CMD")].concat());
    let (host, port) = serving.address.rsplit_once(':').unwrap();
    assert_eq!(host, "127.0.0.1");
    let check = listed("HEALTHCHECK");
    assert!(check[2].contains("/127.0.0.1/8080 "), "{check:?}");
    let script = check[2].replace("/127.0.0.1/8080 ", &format!("/127.0.0.1/{port} "));
    let healthy = || outcome(Command::new(&check[0]).args([&check[1], &script])).code == Some(0);
    assert!(healthy());
    let other = script.replace("/health", "/no-such-route");
    assert_ne!(outcome(Command::new(&check[0]).args([&check[1], &other])).code, Some(0));
    stopped(serving);
    assert!(!healthy());
}
