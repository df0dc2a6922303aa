//! What the crate `layerwise-sys` says of the ABI against what the library says of it.

use crate::json::Json;
use layerwise::sys;
use layerwise::{
    sys::abi, Decoupled, Dtype, Fold, Isa, LarcMode, Layout, Norm, Query, Rounding, Seed, ZeroGrad, ZeroNorm,
};

fn description() -> Json {
    Json::parse(layerwise::abi_description())
}

/// A type of this crate's as the library spells it for functions.
fn c_type(rust: &str) -> String {
    if let Some(to) = rust.strip_prefix("*const ") {
        format!("const {} *", c_type(to))
    } else if let Some(to) = rust.strip_prefix("*mut ") {
        let to = c_type(to);
        format!("{to}{}", if to.ends_with('*') { "*" } else { " *" })
    } else {
        match rust {
            "u8" => "uint8_t",
            "i32" => "int32_t",
            "i64" => "int64_t",
            "f32" => "float",
            "f64" => "double",
            "c_char" => "char",
            "c_void" => "void",
            name => name,
        }
        .to_string()
    }
}

/// A type of this crate's as the library spells it for members.
fn member_type(rust: &str) -> &str {
    let element = rust.strip_prefix('[').map_or(rust, |array| array.split(';').next().unwrap());
    match element {
        "i32" => "int32",
        "i64" => "int64",
        "f64" => "float64",
        _ if element.starts_with('*') => "pointer",
        _ => panic!("a member of type {rust}"),
    }
}

#[test]
fn constants_are_the_librarys() {
    let description = description();
    let theirs = description.at("constants").object();
    let ours: Vec<_> = abi::CONSTANTS.iter().map(|(name, _)| name.to_string()).collect();
    assert!(theirs.keys().all(|name| ours.contains(name)), "missing here: {theirs:?}");
    for (name, value) in abi::CONSTANTS {
        assert_eq!(theirs.get(*name), Some(&Json::Number(f64::from(*value))), "{name}");
    }
}

#[test]
fn structs_are_laid_out_as_the_librarys() {
    let description = description();
    let theirs = description.at("structs").object();
    assert_eq!(theirs.len(), abi::STRUCTS.len());
    for ours in abi::STRUCTS {
        let struct_there = &theirs[ours.name];
        assert_eq!(struct_there.at("size").number(), ours.size as f64, "{}", ours.name);
        let fields = struct_there.at("fields").list();
        assert_eq!(fields.len(), ours.fields.len(), "{}", ours.name);
        for (field, there) in ours.fields.iter().zip(fields) {
            let said = (there.at("name").text(), there.at("offset").number(), there.at("size").number());
            let where_ = format!("{}.{}", ours.name, field.name);
            assert_eq!(said, (field.name, field.offset as f64, field.size as f64), "{where_}");
            assert_eq!(there.at("type").text(), member_type(field.kind), "{where_}");
        }
    }
}

/// `as_bytes` of the options reads every byte, and padding has no value.
#[test]
fn structs_have_no_padding() {
    for ours in abi::STRUCTS {
        assert_eq!(ours.fields.iter().map(|field| field.size).sum::<usize>(), ours.size, "{}", ours.name);
    }
}

#[test]
fn functions_have_the_librarys_signatures() {
    let description = description();
    let theirs = description.at("functions").object();
    assert_eq!(theirs.len(), abi::FUNCTIONS.len());
    for ours in abi::FUNCTIONS {
        let there = &theirs[ours.name];
        assert_eq!(there.at("returns").text(), c_type(ours.result), "{}", ours.name);
        let arguments = there.at("arguments").list();
        assert_eq!(arguments.len(), ours.arguments.len(), "{}", ours.name);
        for ((name, kind), argument) in ours.arguments.iter().zip(arguments) {
            assert_eq!(argument.at("name").text(), *name, "{}", ours.name);
            assert_eq!(argument.at("type").text(), c_type(kind), "{}, {name}", ours.name);
        }
    }
}

/// The enums are written over the constants; this says that none is missing.
#[test]
fn every_selector_has_its_enum() {
    let families = [
        ("LAYERWISE_DTYPE_", Dtype::Remainder16 as i32 + 1),
        ("LAYERWISE_LAYOUT_", Layout::Scattered as i32 + 1),
        ("LAYERWISE_ISA_", Isa::Neon as i32 + 1),
        ("LAYERWISE_NORM_", Norm::Inf as i32 + 1),
        ("LAYERWISE_LARC_", LarcMode::Scale as i32 + 1),
        ("LAYERWISE_ZERO_NORM_", ZeroNorm::Unit as i32 + 1),
        ("LAYERWISE_ZERO_GRAD_", ZeroGrad::AtLeastOne as i32 + 1),
        ("LAYERWISE_FOLD_", Fold::Decoupled as i32 + 1),
        ("LAYERWISE_SEED_", Seed::FirstStep as i32 + 1),
        ("LAYERWISE_DECOUPLED_", Decoupled::Normalized as i32 + 1),
        ("LAYERWISE_ROUNDING_", Rounding::Stochastic as i32 + 1),
        ("LAYERWISE_QUERY_", Query::Experimental as i32),
    ];
    for (prefix, count) in families {
        let there = abi::CONSTANTS.iter().filter(|(name, _)| name.starts_with(prefix)).count();
        assert_eq!(there, count as usize, "{prefix}");
    }
}

#[test]
fn the_library_has_this_crates_version() {
    let version = sys::LAYERWISE_VERSION_MAJOR * 10000 + sys::LAYERWISE_VERSION_MINOR * 100;
    assert_eq!(layerwise::version() / 100 * 100, version);
    assert!(env!("CARGO_PKG_VERSION").starts_with("0.1."));
    assert!(layerwise::numerics_version() > 0);
    assert!(layerwise::build_info().contains(": "));
}
