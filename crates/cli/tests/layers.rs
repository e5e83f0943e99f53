//! The dependency rule of ARCHITECTURE.md: arrows point down only.

use std::process::Command;

/// Each crate and the workspace crates it may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("switchboard-abi", &[]),
    ("switchboard-bpf", &[]),
    ("switchboard-wire", &[]),
    ("switchboard-notify", &[]),
    ("switchboard-engine", &["switchboard-wire"]),
    (
        "switchboard-device",
        &["switchboard-wire", "switchboard-engine"],
    ),
    (
        "switchboard-socket",
        &[
            "switchboard-abi",
            "switchboard-bpf",
            "switchboard-wire",
            "switchboard-engine",
            "switchboard-device",
        ],
    ),
    (
        "switchboard-syscall",
        &[
            "switchboard-abi",
            "switchboard-bpf",
            "switchboard-wire",
            "switchboard-engine",
            "switchboard-socket",
        ],
    ),
    (
        "switchboard",
        &[
            "switchboard-abi",
            "switchboard-wire",
            "switchboard-engine",
            "switchboard-socket",
            "switchboard-syscall",
            "switchboard-device",
        ],
    ),
    (
        "switchboard-cli",
        &[
            "switchboard-abi",
            "switchboard-wire",
            "switchboard-engine",
            "switchboard-socket",
            "switchboard-syscall",
            "switchboard-device",
            "switchboard-notify",
            "switchboard",
        ],
    ),
    (
        "switchboard-conformance",
        &[
            "switchboard-abi",
            "switchboard-engine",
            "switchboard-socket",
            "switchboard-syscall",
            "switchboard",
        ],
    ),
    (
        "switchboard-fuzz",
        &[
            "switchboard-abi",
            "switchboard-bpf",
            "switchboard-wire",
            "switchboard-engine",
            "switchboard-socket",
            "switchboard-syscall",
        ],
    ),
];

/// Crates that may hold unsafe code; all others forbid it.
const UNSAFE: &[&str] = &[
    "switchboard-notify",
    "switchboard-cli",
    "switchboard-device",
    "switchboard-conformance",
];

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn dependencies_point_down() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let allowed = MAY_USE
            .iter()
            .find(|(crate_name, _)| *crate_name == name)
            .unwrap_or_else(|| panic!("{name} is not in the list of layers"))
            .1;
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("dependency name");
            let is_ours = used.starts_with("switchboard");
            let is_dev = dependency["kind"].as_str() == Some("dev");
            assert!(
                !is_ours || is_dev || allowed.contains(&used),
                "{name} may not depend on {used}: see ARCHITECTURE.md"
            );
        }
    }
    assert_eq!(packages.len(), MAY_USE.len(), "a layer of the list is gone");
}

#[test]
fn unsafe_code_is_forbidden_elsewhere() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        if UNSAFE.contains(&name) {
            continue;
        }
        for target in package["targets"].as_array().expect("targets") {
            if target["kind"][0] != "lib" {
                continue;
            }
            let path = target["src_path"].as_str().expect("src_path");
            let source = std::fs::read_to_string(path).expect("the crate's root");
            assert!(
                source.contains("#![forbid(unsafe_code)]"),
                "{name} does not forbid unsafe code"
            );
        }
    }
}
