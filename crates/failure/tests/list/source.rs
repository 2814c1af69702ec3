//! The error types in a source file, read from their derive attributes.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Ident, Item, LitStr, Token};

/// One error: a variant of an enum, or a struct.
#[derive(Clone, Debug)]
pub(crate) struct ErrorEntry {
    pub(crate) code: String,
    pub(crate) cause: String,
    pub(crate) advice: String,
}

/// An error type without a code or without advice.
#[derive(Debug)]
#[allow(dead_code)]
pub(crate) struct Problem {
    file: PathBuf,
    name: String,
    what: &'static str,
}

/// The errors of one source file.
#[derive(Default)]
pub(crate) struct Source {
    file: PathBuf,
    pub(crate) errors: Vec<ErrorEntry>,
    pub(crate) problems: Vec<Problem>,
}

impl Source {
    /// All source files of the workspace but those of the testbed, which serves tests alone, and
    /// the linter's findings, which have a page and a test of their own.
    pub(crate) fn all(root: &Path) -> Vec<Source> {
        let mut directories = vec![root.join("src"), root.join("hooks")];
        for package in fs::read_dir(root.join("crates")).unwrap() {
            let package = package.unwrap();
            if package.file_name() != "testbed" {
                directories.push(package.path().join("src"));
            }
        }
        let mut files = Vec::new();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true if path.ends_with("findings") => {}
                    true => directories.push(path),
                    false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                    false => {}
                }
            }
        }
        files.sort();
        files.into_iter().map(Source::read).collect()
    }

    fn read(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).unwrap();
        let mut source = Source {
            file,
            ..Source::default()
        };
        source.read_items(&syn::parse_file(&text).unwrap().items);
        source
    }

    fn read_items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Enum(item) if self.is_error(&item.attrs, &item.ident) => {
                    for variant in &item.variants {
                        let name = format!("{}::{}", item.ident, variant.ident);
                        self.read_error(name, &variant.attrs);
                    }
                }
                Item::Struct(item) if self.is_error(&item.attrs, &item.ident) => {
                    self.read_error(item.ident.to_string(), &item.attrs);
                }
                Item::Mod(item) if !is_test(&item.attrs) => {
                    self.read_items(item.content.as_ref().map_or(&[], |(_, items)| items));
                }
                _ => {}
            }
        }
    }

    /// Returns true if the type derives both `Error` and `Diagnostic`; one of them alone is a problem.
    fn is_error(&mut self, attributes: &[Attribute], name: &Ident) -> bool {
        let derives = |derive| has_derive(attributes, derive);
        match (derives("Error"), derives("Diagnostic")) {
            (false, false) => false,
            (true, true) => true,
            _ => {
                self.problem(name.to_string(), "derives only one of Error and Diagnostic");
                false
            }
        }
    }

    fn read_error(&mut self, name: String, attributes: &[Attribute]) {
        let parts: Diagnostics = argument(attributes, "diagnostic").unwrap_or_default();
        let cause = argument(attributes, "error").and_then(|Cause(cause)| cause);
        match (cause, parts) {
            (_, Diagnostics { forwarded: true, .. }) => {}
            (
                Some(cause),
                Diagnostics {
                    code: Some(code),
                    advice: Some(advice),
                    ..
                },
            ) => {
                self.errors.push(ErrorEntry { code, cause, advice });
            }
            (None, _) => self.problem(name, "has no #[error(\"…\")]"),
            (_, Diagnostics { code: None, .. }) => self.problem(name, "has no code"),
            (_, Diagnostics { advice: None, .. }) => self.problem(name, "has no advice"),
        }
    }

    fn problem(&mut self, name: String, what: &'static str) {
        self.problems.push(Problem {
            file: self.file.clone(),
            name,
            what,
        });
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg"))
}

fn has_derive(attributes: &[Attribute], name: &str) -> bool {
    let derives = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("derive"));
    derives
        .filter_map(|attribute| {
            attribute
                .parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated)
                .ok()
        })
        .flatten()
        .any(|path| path.segments.last().is_some_and(|last| last.ident == name))
}

fn argument<T: Parse>(attributes: &[Attribute], name: &str) -> Option<T> {
    let attribute = attributes
        .iter()
        .find(|attribute| attribute.path().is_ident(name))?;
    Some(attribute.parse_args().unwrap())
}

/// The argument of `#[error(…)]`; `None` in it if the error is transparent.
struct Cause(Option<String>);

impl Parse for Cause {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        match input.peek(LitStr) {
            true => Ok(Cause(Some(message(input)?))),
            false => {
                input.parse::<TokenStream>()?;
                Ok(Cause(None))
            }
        }
    }
}

/// The arguments of `#[diagnostic(…)]`.
#[derive(Default)]
struct Diagnostics {
    /// Code and advice are those of a field.
    forwarded: bool,
    code: Option<String>,
    advice: Option<String>,
}

impl Parse for Diagnostics {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut parts = Diagnostics::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            let content;
            match name.to_string().as_str() {
                "transparent" => parts.forwarded = true,
                "forward" => {
                    syn::parenthesized!(content in input);
                    content.parse::<TokenStream>()?;
                    parts.forwarded = true;
                }
                "code" => {
                    syn::parenthesized!(content in input);
                    parts.code = Some(content.parse::<LitStr>()?.value());
                }
                "help" => {
                    syn::parenthesized!(content in input);
                    parts.advice = Some(message(&content)?);
                }
                _ => {
                    syn::parenthesized!(content in input);
                    content.parse::<TokenStream>()?;
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(parts)
    }
}

/// A format string with its arguments, each `{}` named after the first identifier of its argument.
fn message(input: ParseStream<'_>) -> syn::Result<String> {
    let format: LitStr = input.parse()?;
    let mut arguments = Vec::new();
    while !input.is_empty() {
        input.parse::<Token![,]>()?;
        if input.is_empty() {
            break;
        }
        arguments.push(first_identifier(input)?);
    }
    let mut text = format.value();
    for argument in arguments {
        text = text.replacen("{}", &format!("{{{argument}}}"), 1);
    }
    Ok(text)
}

/// The identifier that an argument such as `path.display()` or `.path` begins with.
fn first_identifier(input: ParseStream<'_>) -> syn::Result<String> {
    input.parse::<Option<Token![.]>>()?;
    Ok(identifier(&input.parse()?).unwrap_or_else(|| "…".to_owned()))
}

fn identifier(expression: &Expr) -> Option<String> {
    match expression {
        Expr::MethodCall(call) => identifier(&call.receiver),
        Expr::Field(field) => identifier(&field.base),
        Expr::Reference(reference) => identifier(&reference.expr),
        Expr::Call(call) => call.args.first().and_then(identifier),
        Expr::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        _ => None,
    }
}
