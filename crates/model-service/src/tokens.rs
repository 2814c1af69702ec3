//! The tokens of programs: named, each with a role.

use std::path::Path;

use failure::Diagnostic;
use thiserror::Error;

use crate::secret::{Secret, SecretError};
use crate::settings::{Role, Settings};

/// The name of the token in `import-token-file`.
const IMPORT_TOKEN: &str = "import-token";

/// Why the tokens cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum TokensError {
    /// A secret cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Secret(#[from] SecretError),
    /// Two tokens have the same secret, so that nothing tells which of them a program sent.
    #[error("the tokens {first:?} and {second:?} have the same secret")]
    #[diagnostic(
        code("token-secret-duplicate"),
        help("Create another secret for one of them with `openssl rand -hex 32`")
    )]
    DuplicateSecret {
        /// The name of the token that is first in the settings.
        first: String,
        /// The name of the other one.
        second: String,
    },
}

/// A token of a program.
pub(crate) struct Token {
    pub(crate) name: String,
    role: Role,
    secret: Secret,
}

impl Token {
    fn read(name: &str, role: Role, file: &Path) -> Result<Self, SecretError> {
        Ok(Self {
            name: name.to_owned(),
            role,
            secret: Secret::read(file)?,
        })
    }

    /// Returns true if the token may do what `role` is for. An administrator may do everything.
    pub(crate) fn permits(&self, role: Role) -> bool {
        self.role == Role::Admin || self.role == role
    }
}

/// All tokens in the settings.
pub(crate) struct Tokens(Vec<Token>);

impl Tokens {
    /// Reads the files that the settings name.
    pub(crate) fn read(settings: &Settings) -> Result<Self, TokensError> {
        let import = Token::read(IMPORT_TOKEN, Role::Import, &settings.import_token_file)?;
        let mut tokens = Self(vec![import]);
        for token in &settings.tokens {
            let token = Token::read(&token.name, token.role, &token.file)?;
            if let Some(first) = tokens.find(token.secret.bytes()) {
                return Err(TokensError::DuplicateSecret {
                    first: first.name.clone(),
                    second: token.name,
                });
            }
            tokens.0.push(token);
        }
        Ok(tokens)
    }

    /// The token with this secret. It is compared with all of them, so that the time does not tell
    /// which one it resembles.
    pub(crate) fn find(&self, secret: &[u8]) -> Option<&Token> {
        let mut found = None;
        for token in &self.0 {
            if token.secret.matches(secret) {
                found = Some(token);
            }
        }
        found
    }
}
