//! Mistyped names.

/// Characters that are wrong, missing, superfluous or swapped.
const MAX_MISTAKES: usize = 2;
/// Longer names are not compared: the comparison takes the product of both lengths.
const MAX_LENGTH: usize = 64;

/// The known name that `name` most probably is, with mistakes.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_LENGTH {
        return None;
    }
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(mistakes, _)| *mistakes <= MAX_MISTAKES)
        .min_by_key(|(mistakes, _)| *mistakes)
        .map(|(_, known)| known)
}
