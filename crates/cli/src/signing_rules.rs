//! What the issuer does not sign, although snapd accepts it: headers that hide something from the
//! people who read them, and RSA keys that others can compute.

use std::sync::LazyLock;

use identity_key::{IdentityPublicKey, Unique, is_hardware_id, is_manufacturer};
use miette::Diagnostic;
use num_bigint::BigUint;
use num_integer::Integer as _;
use snap_assertions::Headers;
use thiserror::Error;

/// Smaller prime factors of a modulus are found.
const SMALL_FACTORS: usize = 1 << 16;

/// The product of all primes below [`SMALL_FACTORS`].
static SMALL_PRIMES: LazyLock<BigUint> = LazyLock::new(|| {
    let mut is_prime = [true; SMALL_FACTORS];
    let mut product = BigUint::from(1u8);
    for number in 2..SMALL_FACTORS {
        if is_prime.get(number) != Some(&true) {
            continue;
        }
        product *= number;
        let multiples = is_prime.iter_mut().skip(number * number).step_by(number);
        multiples.for_each(|multiple| *multiple = false);
    }
    product
});

/// Why an identity is not signed.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum UnsafeIdentity {
    #[error(
        "header \"hardware-id\": \"{}\" has other characters than printable ASCII, or a space at an end",
        .0.escape_default()
    )]
    #[diagnostic(
        code("hardware-id-deceptive"),
        help("Export the device again with the hardware id that is printed on it")
    )]
    HardwareId(String),
    #[error(
        "header \"manufacturer\": \"{}\" has characters that nobody can see, or white space at an end",
        .0.escape_default()
    )]
    #[diagnostic(
        code("manufacturer-deceptive"),
        help("Correct the setting manufacturer and export again")
    )]
    Manufacturer(String),
    #[error("header \"hardware-id-key\" holds an RSA key with another exponent than 65537")]
    #[diagnostic(
        code("rsa-exponent-unsupported"),
        help("Export the key that prepare-device made, or make another key")
    )]
    Exponent,
    #[error("header \"hardware-id-key\" holds an RSA key whose modulus has a factor below {SMALL_FACTORS}")]
    #[diagnostic(
        code("rsa-modulus-small-factor"),
        help("Take the device off the line: others can compute its private key")
    )]
    SmallFactor,
    #[error("header \"hardware-id-key\" holds an RSA key whose modulus is a square")]
    #[diagnostic(
        code("rsa-modulus-square"),
        help("Take the device off the line: others can compute its private key")
    )]
    Square,
    #[error("header \"hardware-id-key\" holds an RSA key whose modulus is a prime or a power of a prime")]
    #[diagnostic(
        code("rsa-modulus-prime"),
        help("Take the device off the line: others can compute its private key")
    )]
    Prime,
}

/// The problems of the headers that people read. Those that snapd refuses, such as empty ones, are
/// left to the checks of snapd.
pub(crate) fn check_text(headers: &Headers) -> Vec<UnsafeIdentity> {
    let deceptive = |name, is_allowed: fn(&str) -> bool| {
        let value = headers.get_str(name).filter(|value| !value.is_empty())?;
        (!is_allowed(value)).then(|| value.to_owned())
    };
    let hardware_id = deceptive("hardware-id", is_hardware_id).map(UnsafeIdentity::HardwareId);
    let manufacturer = deceptive("manufacturer", is_manufacturer).map(UnsafeIdentity::Manufacturer);
    hardware_id.into_iter().chain(manufacturer).collect()
}

/// Checks an RSA key but does not search for a prime modulus, which takes twenty times as long as the
/// other checks.
pub(crate) fn check_key_quickly(key: &IdentityPublicKey) -> Result<(), UnsafeIdentity> {
    let Some(modulus) = modulus(key) else {
        return Ok(());
    };
    if key.has_unusual_exponent() {
        return Err(UnsafeIdentity::Exponent);
    }
    let one = BigUint::from(1u8);
    if (&*SMALL_PRIMES % &modulus).gcd(&modulus) != one {
        return Err(UnsafeIdentity::SmallFactor);
    }
    let root = modulus.sqrt();
    match &root * &root == modulus {
        true => Err(UnsafeIdentity::Square),
        false => Ok(()),
    }
}

/// Checks an RSA key completely. For one of 2048 bits this takes about as long as an RSA-4096 signature.
pub(crate) fn check_key(key: &IdentityPublicKey) -> Result<(), UnsafeIdentity> {
    check_key_quickly(key)?;
    match modulus(key).is_some_and(|modulus| is_prime_power(&modulus)) {
        true => Err(UnsafeIdentity::Prime),
        false => Ok(()),
    }
}

fn modulus(key: &IdentityPublicKey) -> Option<BigUint> {
    match key.unique() {
        Unique::Modulus(modulus) => Some(BigUint::from_bytes_be(modulus)),
        Unique::Point { .. } => None,
    }
}

/// Returns true if the odd `number` is a prime or a power of one.
///
/// By Fermat's little theorem a prime p divides 2^n - 2 if n is a power of p, so that no such number
/// is missed. That the product of two large random primes shares a factor with 2^n - 2 is as unlikely
/// as that somebody guesses one of them.
fn is_prime_power(number: &BigUint) -> bool {
    let two = BigUint::from(2u8);
    // Never negative, also if the remainder is 0 or 1.
    let difference = two.modpow(number, number) + number - two;
    difference.gcd(number) != BigUint::from(1u8)
}

#[cfg(test)]
mod tests {
    use identity_key::KeyKind;

    use super::*;

    /// 2^1279 - 1, 2^2203 - 1 and 2^3217 - 1 are primes (Mersenne).
    fn mersenne(exponent: u32) -> BigUint {
        (BigUint::from(1u8) << exponent) - 1u8
    }

    #[test]
    fn primes_and_their_powers_are_found() {
        for exponent in [1279, 2203, 3217] {
            assert!(is_prime_power(&mersenne(exponent)), "{exponent}");
        }
        assert!(is_prime_power(&mersenne(1279).pow(2)));
        assert!(is_prime_power(&mersenne(1279).pow(3)));
    }

    fn key(modulus: &BigUint) -> IdentityPublicKey {
        let kind = KeyKind::RSA_2048;
        IdentityPublicKey::of_device(kind, Unique::Modulus(modulus.to_bytes_be())).unwrap()
    }

    #[test]
    fn small_factors_and_squares_are_found() {
        let high = BigUint::from(1u8) << 2047;
        // The largest prime below the limit, and 2.
        for factor in [65_521u32, 2] {
            let multiple = (&high / factor + 1u8) * factor;
            assert!(matches!(
                check_key(&key(&multiple)),
                Err(UnsafeIdentity::SmallFactor)
            ));
        }
        // Some of these have no small factor.
        let roots = (1u32..)
            .step_by(2)
            .map(|offset| (BigUint::from(3u8) << 1022) + offset);
        let squares = roots.map(|root| key(&(&root * &root)));
        let mut found = squares.map(|square| check_key(&square)).take(200);
        assert!(found.any(|found| matches!(found, Err(UnsafeIdentity::Square))));
    }
}
