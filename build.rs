//! Compiles `proto/` into messages, clients, servers and the descriptor set that reflection serves.
//! protox parses the protos in Rust, so no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

const PROTOS: [&str; 16] = [
    "feast/serving/GrpcServer.proto",
    "feast/serving/ServingService.proto",
    "finrank/common/v1/common.proto",
    "finrank/feature/v1/feature_store_service.proto",
    "finrank/model/v1/model_registry_service.proto",
    "finrank/ranking/v1/debug.proto",
    "finrank/ranking/v1/decision_log.proto",
    "finrank/ranking/v1/degradation.proto",
    "finrank/ranking/v1/experiment.proto",
    "finrank/ranking/v1/explanation.proto",
    "finrank/ranking/v1/log_export.proto",
    "finrank/ranking/v1/outcomes.proto",
    "finrank/ranking/v1/ranking_service.proto",
    "finrank/ranking/v1/replay.proto",
    "finrank/ranking/v1/selection.proto",
    "finrank/ranking/v1/shadow.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(PROTOS)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
