//! Tells the linker where the programs find tpm2-tss in a gadget snap.
//!
//! snapd gives hooks no library path, and an author's own shell hook may call a program from `$SNAP/bin`. So each program
//! knows where the snap's libraries are relative to itself: from `meta/hooks` or `snap/hooks`, and from `bin`. It has to be
//! RPATH and not RUNPATH, as the TCTI is opened at run time by libtss2-tctildr, for which a program's RUNPATH does not count.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let part = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let (arch, abi) = (part("ARCH"), part("ENV") + &part("ABI"));
    // Debian's name for the architecture, by which its packages lay out /usr/lib.
    let libraries = format!("usr/lib/{arch}-linux-{abi}");
    println!("cargo:rustc-link-arg-bins=-Wl,--disable-new-dtags");
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../../{libraries}:$ORIGIN/../{libraries}");
}
