//! Finds the C library: in `LAYERWISE_LIB_DIR`, else by pkg-config, else by building it from source with CMake.
//! The feature `static` links the static library; a library built here is always linked statically, and has the CUDA
//! backend with the feature `cuda` alone. `LAYERWISE_CUDA` in the environment decides whatever the features are.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "0.1";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in [
        "LAYERWISE_LIB_DIR",
        "LAYERWISE_SOURCE_DIR",
        "LAYERWISE_CUDA",
        "CUDAARCHS",
        "CUDACXX",
        "PKG_CONFIG",
        "PKG_CONFIG_PATH",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    if env::var_os("DOCS_RS").is_some() {
        return;
    }
    let statically = env::var_os("CARGO_FEATURE_STATIC").is_some();
    if let Some(folder) = env::var_os("LAYERWISE_LIB_DIR") {
        let folder = Path::new(&folder);
        link_from(folder, statically);
        if statically {
            println!("cargo:rerun-if-changed={}", folder.join("liblayerwise.a").display());
        }
    } else if !link_by_pkg_config(statically) {
        link_from(&build_from_source(), true);
    }
}

/// Links the library of a folder: an installation's `lib`, or a build tree.
fn link_from(folder: &Path, statically: bool) {
    let library = folder.join(if statically { "liblayerwise.a" } else { "liblayerwise.so" });
    // Other platforms name a shared library otherwise: the linker will say.
    if !library.exists() && (statically || cfg!(target_os = "linux")) {
        panic!("{} is not there: LAYERWISE_LIB_DIR must be the folder that holds it", library.display());
    }
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib={}=layerwise", if statically { "static" } else { "dylib" });
    if statically {
        link_flags(&private_libraries(folder), false);
    }
    println!("cargo:libdir={}", folder.display());
}

/// What a static library depends on, as the `layerwise.pc` beside it says.
fn private_libraries(folder: &Path) -> String {
    let described = [folder.join("layerwise.pc"), folder.join("pkgconfig").join("layerwise.pc")];
    let text = described.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let private = text.lines().find_map(|line| line.strip_prefix("Libs.private:"));
    private.unwrap_or("-lstdc++ -lm -lpthread -ldl").to_string()
}

/// Passes `-L` and `-l` on. What comes after liblayerwise itself is shared, or the linker's choice.
fn link_flags(flags: &str, statically: bool) {
    for flag in flags.split_whitespace() {
        if let Some(folder) = flag.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(library) = flag.strip_prefix("-l") {
            let kind = if statically && library == "layerwise" { "static" } else { "dylib" };
            println!("cargo:rustc-link-lib={kind}={library}");
        }
    }
}

fn link_by_pkg_config(statically: bool) -> bool {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let ask = |arguments: &[&str]| -> Option<String> {
        let output = Command::new(&program).args(arguments).arg("layerwise").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    if ask(&["--atleast-version", VERSION]).is_none() {
        return false;
    }
    let Some(folder) = ask(&["--variable=libdir"]) else { return false };
    let Some(flags) = ask(if statically { &["--libs", "--static"] } else { &["--libs"] }) else { return false };
    println!("cargo:rustc-link-search=native={folder}"); // rustc looks for static libraries in no folder of its own
    link_flags(&flags, statically);
    println!("cargo:libdir={folder}");
    true
}

/// Builds the static library below OUT_DIR; returns the folder it is in.
fn build_from_source() -> PathBuf {
    let beside = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../..");
    let source = env::var_os("LAYERWISE_SOURCE_DIR").map_or(beside, PathBuf::from);
    if !source.join("include/layerwise.h").exists() {
        panic!(
            "no layerwise library: install it so that pkg-config finds it, set LAYERWISE_LIB_DIR to the folder that \
             holds liblayerwise, or LAYERWISE_SOURCE_DIR to its source"
        );
    }
    if env::var("TARGET") != env::var("HOST") && env::var_os("CMAKE_TOOLCHAIN_FILE").is_none() {
        panic!("to build layerwise for another target set CMAKE_TOOLCHAIN_FILE, or LAYERWISE_LIB_DIR to a built one");
    }
    // What is named here and missing would have cargo build at every call.
    for part in ["CMakeLists.txt", "include", "kernels", "src"] {
        println!("cargo:rerun-if-changed={}", source.join(part).display());
    }
    let build = Path::new(&env::var("OUT_DIR").unwrap()).join("build");
    let asked = env::var("LAYERWISE_CUDA");
    let by_feature = if env::var_os("CARGO_FEATURE_CUDA").is_some() { "AUTO" } else { "OFF" };
    let cuda = asked.as_deref().unwrap_or(by_feature);
    let configured = run(Command::new("cmake").arg("-S").arg(&source).arg("-B").arg(&build).args([
        "-DCMAKE_BUILD_TYPE=Release",
        "-DLAYERWISE_TESTS=OFF",
        &format!("-DLAYERWISE_CUDA={cuda}"),
    ]));
    // What is built and about how long it takes. Cargo shows a build script's warnings alone.
    for line in configured.iter().filter_map(|line| line.strip_prefix("-- layerwise: ")) {
        if asked.is_err() {
            println!("cargo:warning={line}");
        }
        let alone = line.strip_prefix("building the CPU backend alone (").and_then(|rest| rest.split(')').next());
        if let (true, true, Some(reason)) = (asked.is_err(), cuda == "AUTO", alone) {
            panic!(
                "the feature cuda is on, and CUDA cannot be built: {reason}. CUDAARCHS=90 builds for a GPU that is \
                 elsewhere; without the feature the CPU backend is built"
            );
        }
    }
    let jobs = env::var("NUM_JOBS").unwrap_or_else(|_| "1".to_string());
    let build_command = ["--config", "Release", "--target", "layerwise_static", "--parallel", &jobs];
    run(Command::new("cmake").arg("--build").arg(&build).args(build_command));
    build
}

/// Runs a command, and returns the lines that it prints, which go on to cargo's log as they come.
fn run(command: &mut Command) -> Vec<String> {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => panic!("{command:?} could not be started ({error}): building layerwise needs CMake 3.25"),
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let printed = lines.inspect(|line| println!("{line}")).collect();
    let status = child.wait().unwrap();
    if !status.success() {
        panic!("{command:?} failed with {status}");
    }
    printed
}
