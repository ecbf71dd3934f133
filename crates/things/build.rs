//! Compiles `proto/` into the servers of `grpc.rs`, and into clients for the tests, without a `protoc`.

use std::{env, error::Error, fs, path::Path};

use tonic_prost_build::Builder;

/// Messages with a secret in them: their `Debug` is written by hand (`grpc/wire.rs`) and shows none.
const SECRETIVE: [&str; 13] = [
    ".protomfx.ThingKey",
    ".protomfx.UserAccessReq",
    ".protomfx.ThingAccessReq",
    ".protomfx.OrgAccessReq",
    ".protomfx.CreateDormantGroupInvitesReq",
    ".protomfx.ActivateGroupInvitesReq",
    ".protomfx.Token",
    ".protomfx.AuthorizeReq",
    ".protomfx.ViewOrgReq",
    ".protomfx.ViewOrgMembershipReq",
    ".things.v1.AuthenticateRequest",
    ".things.v1.CheckRequest",
    ".things.v1.CheckRequest.subject",
];

fn main() -> Result<(), Box<dyn Error>> {
    const ROOT: &str = "../../proto";
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(["protomfx.proto", "things/v1/things.proto"])?;
    let compiled = compiler.file_descriptor_set();
    // For reflection.
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    // All there is to ask, for metrics and for the tests that try everything.

    let mut methods = String::from("[\n");
    for file in &compiled.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                methods.push_str(&format!("    {path:?},\n"));
            }
        }
    }
    fs::write(out.join("methods.rs"), methods + "]\n")?;

    let into = |directory: &str| -> Result<Builder, Box<dyn Error>> {
        let directory = out.join(directory);
        fs::create_dir_all(&directory)?;
        Ok(tonic_prost_build::configure()
            .out_dir(directory)
            .emit_rerun_if_changed(false)
            .build_transport(false))
    };
    into("server")?.build_client(false).skip_debug(SECRETIVE).compile_fds(compiled.clone())?;
    into("client")?.build_server(false).compile_fds(compiled)?;
    Ok(())
}
