//! Scripts: what can be read from them without running them.

use super::environment::Environment;

/// Programs of this project. A script can call them by name if it sets PATH.
pub(crate) const OURS: [&str; 5] = [
    "prepare-device",
    "prepare-serial-request",
    "install-device",
    "configure",
    "hardware-identity",
];
/// Directories of programs, below `$SNAP`.
pub(crate) const PROGRAM_DIRECTORIES: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// Bytes that are read of a script; hooks are shorter.
const MAX_SCRIPT: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Script {
    /// The first line without `#!`: the interpreter and at most one argument.
    interpreter: String,
    text: String,
}

impl Script {
    /// Returns `None` if the data does not begin with `#!`.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let text = data.strip_prefix(b"#!")?;
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_SCRIPT)]).into_owned();
        // A carriage return stays: to the kernel it is a part of the name.
        let interpreter = text.split('\n').next()?.trim_matches([' ', '\t']).to_owned();
        Some(Script { interpreter, text })
    }

    /// The path of the interpreter.
    pub(crate) fn interpreter(&self) -> &str {
        self.interpreter.split([' ', '\t']).next().unwrap_or_default()
    }

    /// The name that `#!/usr/bin/env NAME` looks up.
    pub(crate) fn command(&self) -> Option<&str> {
        let mut words = self
            .interpreter
            .split([' ', '\t'])
            .filter(|word| !word.is_empty());
        let env = words.next()?.ends_with("/env");
        env.then(|| words.find(|word| !word.starts_with('-'))).flatten()
    }

    /// Returns true if the script has these words in this order, outside of comments.
    pub(crate) fn mentions(&self, words: &str) -> bool {
        self.words().collect::<Vec<_>>().join(" ").contains(words)
    }

    /// The values that the script assigns to LD_LIBRARY_PATH.
    pub(crate) fn library_paths(&self) -> Vec<String> {
        self.lines()
            .flat_map(|line| {
                line.split_ascii_whitespace()
                    .filter_map(|word| Some(word.split_once("LD_LIBRARY_PATH=")?.1.to_owned()))
                    .collect::<Vec<_>>()
            })
            .map(|value| value.trim_end_matches([';', '&', '|', ')']).to_owned())
            .collect()
    }

    /// The programs of the snap that the script names: by `$SNAP/…`, or those of this project by
    /// their bare names.
    pub(crate) fn programs(&self, environment: &Environment) -> Vec<String> {
        let mut programs = Vec::new();
        for word in self.words() {
            let path = environment
                .in_snap(&environment.expand(&word))
                .map(|path| path.to_string_lossy().into_owned());
            match path {
                Some(path)
                    if PROGRAM_DIRECTORIES
                        .iter()
                        .any(|directory| is_in(&path, directory)) =>
                {
                    programs.push(path)
                }
                None if OURS.contains(&word.as_str()) => programs.push(word),
                _ => {}
            }
        }
        programs.sort();
        programs.dedup();
        programs
    }

    /// The lines without comments and quotation marks.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.text
            .lines()
            .skip(1)
            .map(|line| line.trim_start())
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace(['"', '\''], ""))
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.lines().flat_map(|line| {
            line.split(|c: char| c.is_whitespace() || ";|&()<>=`".contains(c))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
    }
}

/// Returns true if the path is that of a file directly in the directory.
fn is_in(path: &str, directory: &str) -> bool {
    let rest = path
        .strip_prefix(directory)
        .and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|name| !name.is_empty() && !name.contains(['/', '$', '*']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "#!/usr/bin/env -S bash -e\n\
        # export LD_LIBRARY_PATH=$SNAP/no; $SNAP/bin/no\n\
        export LD_LIBRARY_PATH=\"$SNAP/usr/lib\"; PATH=\"${SNAP}/bin:$PATH\"\n\
        LD_LIBRARY_PATH=$SNAP/opt \"$SNAP\"/usr/bin/tpm2_sign <$SNAP/etc/x\n\
        snapctl  unset registration.body && hardware-identity show $(${SNAP}/bin/a)\n";

    fn environment() -> Environment {
        Environment::of(&serde_saphyr::from_str("name: pc\n").unwrap())
    }

    #[test]
    fn the_interpreter_is_read_as_the_kernel_reads_it() {
        let script = Script::parse(SCRIPT.as_bytes()).unwrap();
        assert_eq!(script.interpreter(), "/usr/bin/env");
        assert_eq!(script.command(), Some("bash"));
        let script = Script::parse(b"#! /bin/sh\r\ntrue\r\n").unwrap();
        assert_eq!(script.interpreter(), "/bin/sh\r");
        assert_eq!(script.command(), None);
        assert!(Script::parse(b"echo").is_none());
    }

    #[test]
    fn programs_and_library_paths_are_found() {
        let script = Script::parse(SCRIPT.as_bytes()).unwrap();
        assert_eq!(script.library_paths(), ["$SNAP/usr/lib", "$SNAP/opt"]);
        assert_eq!(
            script.programs(&environment()),
            ["bin/a", "hardware-identity", "usr/bin/tpm2_sign"]
        );
        assert!(script.mentions("unset registration.body"));
        assert!(!script.mentions("bin/no"));
    }
}
