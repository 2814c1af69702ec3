//! Sets the library path with which the programs find tpm2-tss in a gadget snap.
//!
//! snapd gives hooks no library path, and an author's own shell hook may call a program from
//! `$SNAP/bin`. So each program has the path of the snap's libraries relative to itself: from
//! `meta/hooks` or `snap/hooks`, and from `bin`. It must be RPATH and not RUNPATH, because
//! libtss2-tctildr opens the TCTI at run time and ignores the RUNPATH of the program.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let part = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (arch, abi) = (part("ARCH"), part("ENV") + &part("ABI"));
    // The directory that Debian's packages use below /usr/lib.
    let libraries = format!("usr/lib/{arch}-linux-{abi}");
    println!("cargo:rustc-link-arg-bins=-Wl,--disable-new-dtags");
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../../{libraries}:$ORIGIN/../{libraries}");
}
