//! Expressions with what Go's `regexp` and snapd 2.77.1 make of them.

use super::*;

/// Expressions that Go accepts, a string that matches and one that does not.
const ACCEPTED: &[(&str, &str, &str)] = &[
    // Perl classes and word boundaries are those of ASCII.
    (r"^\w+$", "Geraet_1", "Gerät"),
    (r"^Ger\Wt$", "Gerät", "Gerat"),
    (r"^[\wä]+$", "Gerät", "Gerö"),
    (r"^[^\W]$", "a", "ä"),
    (r"^\d+$", "3", "\u{663}"),
    (r"^\D$", "\u{663}", "3"),
    (r"^\s$", "\x0c", "\x0b"),
    (r"^\S$", "\u{a0}", " "),
    (r"^Ä\bB$", "ÄB", "Äb"),
    (r"^Ä\BÖ$", "ÄÖ", "ÄB"),
    // With (?i) they have the letters that fold to ASCII, too.
    (r"(?i)^\w$", "\u{17f}", "ä"),
    (r"(?i)^\W$", "ä", "\u{212a}"),
    (r"(?i)^[^a-z]$", "ä", "\u{212a}"),
    ("(?i)gerät", "GERÄT", "GERAT"),
    (r"(?i)^\p{Lu}$", "a", "1"),
    (r"(?i)^\P{^Lu}$", "a", "1"),
    // No operations on sets, no nested classes.
    ("^[a-z&&[^b]]$", "&]", "a"),
    ("^[+--]$", ",", "a"),
    ("^[[a]]$", "a]", "a"),
    ("^[[]$", "[", "a"),
    ("^[[a]$", "[", "b"),
    ("^[a~~b]$", "~", "c"),
    (r"^[\d-z]$", "-", "a"),
    ("^[]a]$", "]", "b"),
    ("^[^]a]$", "b", "]"),
    ("^[a-]$", "-", "b"),
    ("^[^a]$", "\n", "a"),
    ("^[[:word:]-]+$", "a_-", "ä"),
    ("^[[:^space:]]$", "a", "\x0b"),
    ("^[[:alpha]$", ":", "b"),
    // Escapes.
    (r"^\<Acme\>$", "<Acme>", "Acme"),
    (r"^a\b{start}$", "a{start}", "a"),
    (r"^\101$", "A", "101"),
    (r"^\0\08$", "\0\u{0}8", "0"),
    (r"^\x41\x{0041}$", "AA", "x"),
    (r"^\_\-\/\ $", "_-/ ", "_"),
    (r"^\Qa*(\E*$", "a*((", "aa"),
    (r"^\Qa\z$", r"a\z$", "a"),
    (r"^[\x{d700}-\x{dfff}\x{1}]$", "\u{d7ff}", "\u{e000}"),
    (r"\Aa\z", "a", "a\n"),
    // Unicode classes.
    (r"^\p{^L}\pL\P{L}\PL\P{^L}$", "1a11a", "aaaaa"),
    (r"^\p{Greek}\p{Any}\p{Zl}$", "αa\u{2028}", "aa\u{2028}"),
    (r"^[\p{Nag_Mundari}\p{Nd}]$", "\u{663}", "a"),
    (r"^\P{Cs}$", "a", ""),
    // Braces that are no repetition.
    ("^a{,5}$", "a{,5}", "aaa"),
    ("^{$", "{", ""),
    ("^a{01}{ 1}$", "a{01}{ 1}", "a"),
    ("^a*{,2}$", "aa{,2}", "a"),
    ("^a{2,}?$", "aaa", "a"),
    ("^(?:a{1,2}){2}$", "aaa", "a"),
    (r"^\b{2}a^*$", "a", "b"),
    ("^(?:x{1000}){0,1}$", "", "x"),
    ("^(?:(?:x{1000}){0}){1000}$", "", "x"),
    // Flags and groups.
    ("^(?)a$", "a", "b"),
    ("^(?i)a(?-i)b$", "Ab", "AB"),
    ("^(?i:a)b$", "Ab", "AB"),
    ("^((?i)a)b$", "Ab", "AB"),
    ("^(?:x(?i)|a)$", "A", "X"),
    ("^(?is-mU:a.)$", "A\n", "\n"),
    ("^.$", "\r", "\n"),
    ("(?m)^a$", "b\na\nb", "ba"),
    ("^a*(?i)*b$", "aaB", "aa"),
    ("^(a||b)$", "", "c"),
    ("^(?P<n>a)(?P<n>b)(?<_1>c)$", "abc", "ab"),
    ("^()$", "", "a"),
    ("^(a)|(b)$", "ac", "c"),
];

/// Expressions that Go refuses.
const REFUSED: &[&str] = &[
    // Syntax of the regex crate.
    r"(?x) a",
    r"(?R)a",
    r"(?u)a",
    r"(?-u)a",
    r"x*+",
    r"\p{Alphabetic}",
    r"\p{Letter}",
    r"\p{greek}",
    r"\p{sc=Greek}",
    r"\p{gc:Lu}",
    r"\p{L&}",
    r"\u0041",
    r"\u{41}",
    r"\U00000041",
    r"\x{}",
    r"\h",
    r"\R",
    r"(?<a.b>c)",
    r"(?<a[0]>c)",
    // Of Perl.
    r"(?=a)",
    r"(?!a)",
    r"(?<=a)",
    r"(?>a)",
    r"(?#a)",
    r"(?P=n)",
    r"(?'n'a)",
    r"\1",
    r"\8",
    r"\Z",
    r"\G",
    r"\C",
    r"\E",
    r"[\b]",
    r"[\A]",
    r"[\Qa\E]",
    // Of releases of Go that differ.
    r"\pC",
    r"\p{C}",
    r"\P{^C}",
    r"\p{Cn}",
    r"\p{LC}",
    r"\p{ASCII}",
    // Nobody's.
    "(",
    ")",
    "a)",
    "(a",
    "[",
    "[a",
    "[]",
    "[^]",
    "[a-",
    "[z-a]",
    "[a--b]",
    r"[a-\d]",
    "[[:foo:]]",
    "[[:alpha:]",
    r"\",
    r"a\",
    r"\x4",
    r"\x{110000}",
    r"\x{4G}",
    r"\p",
    r"\p{",
    r"\p{}",
    r"\p^",
    r"\p{^^L}",
    "*",
    "|*",
    "(*)",
    "(?i)*",
    "a**",
    "a*{2}",
    "a+?+",
    "a{2}{2}",
    "a{1001}",
    "a{2,1}",
    "a{99999999999999999999}",
    "(?:a{100}){11}",
    "(?:(?:a{2}){0,1}){501}",
    "(?",
    "(?i",
    "(?-)",
    "(?i-)",
    "(?i-s-m)",
    "(?P<n>",
    "(?P<n",
    "(?P<>a)",
    "(?P<a b>c)",
    r"(?P<ä>c)",
    r"\ä",
];

#[test]
fn expressions_of_go() {
    for (pattern, matching, other) in ACCEPTED {
        let regex = GoRegex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        assert!(regex.is_match(matching), "{pattern} {matching}");
        assert!(!regex.is_match(other), "{pattern} {other}");
    }
}

#[test]
fn what_go_refuses() {
    for pattern in REFUSED {
        assert!(GoRegex::new(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn deep_and_large_expressions() {
    let nested = |open: &str, count: usize| GoRegex::new(&(open.repeat(count) + &")*".repeat(count)));
    assert!(nested("(?:a", 124).is_ok());
    assert!(nested("(?:a", 126).is_err());
    assert!(nested("(a", 83).is_ok());
    assert!(nested("(a", 50_000).is_err());
    let count = 50_000;
    assert!(GoRegex::new(&("(?:".repeat(count) + &")".repeat(count))).is_ok());
    assert!(GoRegex::new(&"(".repeat(count)).is_err());
    // The tables of all letters, a thousand times.
    assert!(GoRegex::new(r"\p{L}{1000}").is_ok());
    assert!(GoRegex::new(&"(?:abcdefghij){1000}".repeat(400)).is_err());
}

/// The `regex` crate compares alternatives recursively.
#[test]
fn deep_alternatives_do_not_overflow_a_small_stack() {
    let parse = || {
        let count = 20_000;
        let deep = "(?:".repeat(count) + "a" + &")*".repeat(count);
        Parser::new(&format!("{deep}b|{deep}c")).parse().map(|_| ())
    };
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    assert!(small.spawn(parse).unwrap().join().unwrap().is_err());
}

/// As in Go, large classes are counted while they are read.
#[test]
fn many_large_classes() {
    let (class, _) = Class::bracketed(r"[\p{L}]", false).unwrap();
    let parse = |runes, pattern: &str| {
        let parser = Parser {
            runes,
            ..Parser::new(pattern)
        };
        parser.parse().map(drop)
    };
    let almost = MAX_RUNES - class.runes();
    for pattern in [r"[\p{L}]", r"\p{L}"] {
        assert_eq!(parse(almost, pattern), Ok(()));
        assert_eq!(parse(almost + 1, pattern), Err(TOO_LARGE.to_owned()));
        assert_eq!(parse(almost, &pattern.repeat(2)), Err(TOO_LARGE.to_owned()));
    }
}

#[test]
fn every_class_has_a_table() {
    for name in class::CATEGORIES.split(' ').chain(class::SCRIPTS.split(' ')) {
        assert!(GoRegex::new(&format!(r"\p{{{name}}}")).is_ok(), "{name}");
    }
}

#[test]
fn literals() {
    assert!(is_literal("hardware-identity"));
    for special in r"\.+*?()|[]{}^$".chars() {
        assert!(!is_literal(&format!("a{special}")), "{special}");
    }
}
