//! Classes of characters: in brackets, of Perl, POSIX and Unicode.

use std::ops::RangeInclusive;

use regex_syntax::hir::{self, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::escape::escape;

/// The general categories of Go 1.24 (`unicode.Categories`), without `C`.
pub(super) const CATEGORIES: &str = "Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk \
                          Sm So Z Zl Zp Zs";

/// The scripts of Go 1.24 (`unicode.Scripts`, Unicode 15).
pub(super) const SCRIPTS: &str = "\
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak \
    Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian \
    Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot \
    Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs \
    Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi \
    Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited \
    Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li \
    Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B \
    Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi \
    Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi \
    Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu \
    Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic \
    Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya \
    Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan \
    Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese \
    Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu \
    Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi \
    Zanabazar_Square";

/// A class of characters.
pub(super) struct Class(ClassUnicode);

impl From<Class> for Hir {
    fn from(class: Class) -> Self {
        Hir::class(hir::Class::Unicode(class.0))
    }
}

impl Class {
    /// The ends of its ranges, as Go counts the size of a class.
    pub(super) fn runes(&self) -> usize {
        self.0.ranges().len() * 2
    }

    /// A range, with the other cases of its letters if `ignore_case` is true.
    pub(super) fn folded(range: RangeInclusive<char>, ignore_case: bool) -> Self {
        let mut class = of(&[range]);
        fold(&mut class, ignore_case);
        Self(class)
    }

    /// Reads the class in brackets at the start of `text`, and returns what follows it.
    pub(super) fn bracketed(text: &str, ignore_case: bool) -> Result<(Self, &str), String> {
        let missing = || "missing closing ]".to_owned();
        let mut rest = text.strip_prefix('[').unwrap_or(text);
        let inner = rest.strip_prefix('^');
        rest = inner.unwrap_or(rest);
        let mut class = ClassUnicode::empty();
        let mut first = true;
        loop {
            match rest.strip_prefix(']') {
                Some(after) if !first => {
                    rest = after;
                    break;
                }
                _ if rest.is_empty() => return Err(missing()),
                _ => first = false,
            }
            let named = match posix(rest, ignore_case)? {
                None => Self::escaped(rest, ignore_case)?,
                posix => posix,
            };
            if let Some((Self(named), after)) = named {
                class.union(&named);
                rest = after;
                continue;
            }
            let (range, after) = range(rest)?;
            class.union(&folded_code_points(range, ignore_case).0);
            rest = after;
        }
        if inner.is_some() {
            class.negate();
        }
        Ok((Self(class), rest))
    }

    /// Reads the class of Perl or Unicode at the start of `text`, if there is one, and returns what
    /// follows it.
    pub(super) fn escaped(text: &str, ignore_case: bool) -> Result<Option<(Self, &str)>, String> {
        let Some(kind @ (b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'p' | b'P')) =
            text.strip_prefix('\\').and_then(|text| text.as_bytes().first())
        else {
            return Ok(None);
        };
        let rest = text.get(2..).unwrap_or_default();
        let (mut class, caret, rest) = match kind.to_ascii_lowercase() {
            b'd' => (of(&['0'..='9']), false, rest),
            b's' => (of(&['\t'..='\n', '\x0c'..='\r', ' '..=' ']), false, rest),
            b'w' => (of(&WORD), false, rest),
            _ => unicode(rest)?,
        };
        fold(&mut class, ignore_case);
        if kind.is_ascii_uppercase() != caret {
            class.negate();
        }
        Ok(Some((Self(class), rest)))
    }
}

const WORD: [RangeInclusive<char>; 4] = ['0'..='9', 'A'..='Z', '_'..='_', 'a'..='z'];

fn of(ranges: &[RangeInclusive<char>]) -> ClassUnicode {
    let range = |range: &RangeInclusive<char>| ClassUnicodeRange::new(*range.start(), *range.end());
    ClassUnicode::new(ranges.iter().map(range))
}

fn fold(class: &mut ClassUnicode, ignore_case: bool) {
    if ignore_case {
        class.case_fold_simple();
    }
}

/// The range between two code points, which can be surrogates. No text contains those.
fn folded_code_points(range: RangeInclusive<u32>, ignore_case: bool) -> Class {
    let start = char::from_u32(*range.start()).unwrap_or('\u{e000}');
    let end = char::from_u32(*range.end()).unwrap_or('\u{d7ff}');
    if start > end {
        return Class(ClassUnicode::empty());
    }
    Class::folded(start..=end, ignore_case)
}

/// Reads a character or a range of characters in brackets.
fn range(text: &str) -> Result<(RangeInclusive<u32>, &str), String> {
    let (start, rest) = character(text)?;
    let end = rest.strip_prefix('-').filter(|end| !end.starts_with(']'));
    let Some(end) = end.filter(|end| !end.is_empty()) else {
        return Ok((start..=start, rest));
    };
    let (end, rest) = character(end)?;
    if end < start {
        return Err("invalid character class range".to_owned());
    }
    Ok((start..=end, rest))
}

fn character(text: &str) -> Result<(u32, &str), String> {
    match text.chars().next() {
        Some('\\') => escape(text),
        Some(c) => Ok((c.into(), text.get(c.len_utf8()..).unwrap_or_default())),
        None => Err("missing closing ]".to_owned()),
    }
}

/// Reads the class of POSIX at the start of `text`, such as `[:alnum:]`, if there is one.
fn posix(text: &str, ignore_case: bool) -> Result<Option<(Class, &str)>, String> {
    let Some((name, rest)) = text.strip_prefix("[:").and_then(|text| text.split_once(":]")) else {
        return Ok(None);
    };
    let positive = name.strip_prefix('^').unwrap_or(name);
    let mut class = match positive {
        "alnum" => of(&['0'..='9', 'A'..='Z', 'a'..='z']),
        "alpha" => of(&['A'..='Z', 'a'..='z']),
        "ascii" => of(&['\0'..='\x7f']),
        "blank" => of(&['\t'..='\t', ' '..=' ']),
        "cntrl" => of(&['\0'..='\x1f', '\x7f'..='\x7f']),
        "digit" => of(&['0'..='9']),
        "graph" => of(&['!'..='~']),
        "lower" => of(&['a'..='z']),
        "print" => of(&[' '..='~']),
        "punct" => of(&['!'..='/', ':'..='@', '['..='`', '{'..='~']),
        "space" => of(&['\t'..='\r', ' '..=' ']),
        "upper" => of(&['A'..='Z']),
        "word" => of(&WORD),
        "xdigit" => of(&['0'..='9', 'A'..='F', 'a'..='f']),
        _ => return Err(format!("invalid character class range [:{name}:]")),
    };
    fold(&mut class, ignore_case);
    if positive.len() < name.len() {
        class.negate();
    }
    Ok(Some((Class(class), rest)))
}

/// Reads the name of a Unicode class after `\p`: one character, or more in braces. Returns the
/// class, true if a caret negates it, and what follows.
fn unicode(text: &str) -> Result<(ClassUnicode, bool, &str), String> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or("invalid character class range")?,
        None => text.split_at(text.chars().next().map_or(0, char::len_utf8)),
    };
    let positive = name.strip_prefix('^').unwrap_or(name);
    let has = |names: &str| names.split(' ').any(|known| known == positive);
    let class = match positive {
        "Any" => Some(of(&['\0'..=char::MAX])),
        // Surrogates, which no text contains.
        "Cs" => Some(ClassUnicode::empty()),
        _ if has(CATEGORIES) => table("gc", positive),
        _ if has(SCRIPTS) => table("sc", positive),
        _ => None,
    };
    let class = class.ok_or_else(|| format!(r"invalid character class range \p{{{name}}}"))?;
    Ok((class, positive.len() < name.len(), rest))
}

/// The members of a Unicode class, from the tables of the regex crate.
fn table(property: &str, value: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(&format!(r"\p{{{property}={value}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(hir::Class::Unicode(class)) => Some(class),
        // A class of one character.
        HirKind::Literal(literal) => {
            let member = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(of(&[member..=member]))
        }
        _ => None,
    }
}
