//! Programs that run another program, which their arguments name.

use crate::snap::script::is_shell;
use crate::trace::Value;

/// Returns true if `command` looks the name up, and does not run it.
pub(super) fn is_lookup(word: &str) -> bool {
    matches!(word, "-v" | "-V")
}

/// Returns true for commands that a shell has itself, and for those that the base has in any case
/// and that are looked through.
pub(super) fn is_builtin(name: &str) -> bool {
    let builtins = [
        ".", ":", "[", "cd", "echo", "eval", "exit", "export", "false", "printf", "read", "return", "set",
        "shift", "source", "test", "trap", "true", "unset", "wait",
    ];
    builtins.contains(&name) || is_shell(name) || prefix_length(name, &[]).is_some()
}

/// Returns true for interpreters whose first operand is a script.
pub(super) fn is_interpreter(name: &str) -> bool {
    ["python", "perl", "ruby", "node", "lua"].iter().any(|known| {
        name.strip_prefix(known)
            .is_some_and(|version| version.chars().all(|c| !c.is_alphabetic()))
    })
}

/// The words before the command that the program runs: its own name, options and operands. `None`
/// if it does not run another.
pub(super) fn prefix_length(name: &str, arguments: &[Value]) -> Option<usize> {
    let (with_value, operands): (&[&str], usize) = match name {
        "exec" => (&["-a"], 0),
        "command" | "builtin" | "nohup" | "setsid" | "time" | "busybox" => (&[], 0),
        "env" => (&["-u", "-C"], 0),
        "timeout" => (&["-k", "-s"], 1),
        "nice" => (&["-n"], 0),
        "ionice" => (&["-c", "-n"], 0),
        "stdbuf" => (&["-i", "-o", "-e"], 0),
        "chrt" | "taskset" | "chroot" | "flock" => (&[], 1),
        "sudo" => (&["-u", "-g"], 0),
        "xargs" => (&["-n", "-I", "-d", "-L"], 0),
        _ => return None,
    };
    let mut position = 0;
    let mut operands = operands;
    while let Some(word) = arguments.get(position).map(Value::text) {
        match word {
            _ if with_value.contains(&word) => position += 2,
            _ if word.starts_with('-') => position += 1,
            _ if name == "env" && word.contains('=') => position += 1,
            _ if operands > 0 => {
                operands -= 1;
                position += 1;
            }
            _ => break,
        }
    }
    Some((position + 1).min(arguments.len() + 1))
}
