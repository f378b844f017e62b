//! `cargo xtask gen`: the contract's Rust code and descriptor set, from `proto/`; the JSON schema of a gate's rules, from
//! its types.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use prost::Message;

const GENERATED: &str = "crates/contract/src/generated";
/// The attribute of each generated service module.
const GRPC_ONLY: &str = "#[cfg(feature = \"grpc\")]";

/// The schema of `portcullis_gate::Rules`.
const RULES_SCHEMA: &str = "docs/reference/rules.schema.json";

/// Writes the generated files into the tree.
pub fn write(root: &Path) -> Result<()> {
    generate(root, &root.join(GENERATED))?;
    fs::write(root.join(RULES_SCHEMA), rules_schema(root)?)
        .with_context(|| format!("writing {RULES_SCHEMA}"))
}

/// Asks the crate itself, so that this one need not build it.
fn rules_schema(root: &Path) -> Result<Vec<u8>> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "portcullis-gate"])
        .args(["--features", "schema", "--example", "rules_schema"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("running the example `rules_schema`")?;
    ensure!(output.status.success(), "the example `rules_schema` failed");
    Ok(output.stdout)
}

/// Fails if the generated files in the tree differ from the output for `proto/`.
pub fn check(root: &Path) -> Result<()> {
    let fresh = root.join("target/xtask/generated");
    generate(root, &fresh)?;
    ensure!(
        rules_schema(root)? == fs::read(root.join(RULES_SCHEMA))?,
        "{RULES_SCHEMA} is out of date: run `cargo xtask gen`"
    );
    for file in ["portcullis.v1.rs", "descriptor.bin"] {
        ensure!(
            fs::read(fresh.join(file))? == fs::read(root.join(GENERATED).join(file))?,
            "{GENERATED}/{file} is out of date: run `cargo xtask gen`"
        );
    }
    Ok(())
}

fn generate(root: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    let include = root.join("proto");
    let mut protos = proto_files(&include.join("portcullis/v1"))?;
    protos.sort();
    let descriptors = protox::compile(&protos, [&include]).context("proto/ does not compile")?;
    fs::write(out.join("descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .codec_path("crate::codec::SmallBuffers")
        // Embedders that only decide build the messages without tonic.
        .client_mod_attribute(".", GRPC_ONLY)
        .server_mod_attribute(".", GRPC_ONLY)
        .out_dir(out)
        .compile_fds(descriptors)
        .context("code generation")
}

fn proto_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
