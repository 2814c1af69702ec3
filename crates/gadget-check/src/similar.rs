//! Mistyped names.

/// Characters that are wrong, missing, too many or swapped.
const MOST_MISTAKES: usize = 2;
/// Longer names are not compared, which takes the product of their lengths.
const LONGEST: usize = 64;

pub(crate) fn are_similar(name: &str, known: &str) -> bool {
    name.len() <= LONGEST && strsim::damerau_levenshtein(name, known) <= MOST_MISTAKES
}
