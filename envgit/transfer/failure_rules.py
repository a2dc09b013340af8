"""What git, ssh, curl and servers print when an exchange fails, and what it means: the first rule that matches counts."""

from __future__ import annotations

from typing import Final, NamedTuple

from envgit.transfer.errors import (
    AccessDenied,
    MissingPrerequisite,
    NoSuchRepository,
    ProtocolViolation,
    RemoteMoved,
    TransferError,
    Unreachable,
)


class FailureRule(NamedTuple):
    """`says` may use {host}, {address} and the groups of the pattern."""

    pattern: str
    kind: type[TransferError]
    says: str
    hint: str


_CHECK_ADDRESS: Final = "check the address: envgit remote -v"
RULES: Final = (
    FailureRule(
        r"Could not resolve host(?:name)?|Name or service not known|Temporary failure in name resolution",
        Unreachable,
        "the host {host} is not known",
        "check its name and your network: getent hosts {host}",
    ),
    FailureRule(
        r"Connection refused|Failed to connect to .* (?:Couldn't connect|Could not connect)|"
        r"Couldn't connect to server",
        Unreachable,
        "{host} refuses the connection",
        "check the port, and that the server runs",
    ),
    FailureRule(
        r"Connection timed out|Operation timed out|Timeout was reached|Operation too slow",
        Unreachable,
        "{host} does not answer in time",
        "check your network, then run the command again",
    ),
    FailureRule(
        r"No route to host|Network is unreachable",
        Unreachable,
        "there is no way to {host}",
        "check your network and its proxies",
    ),
    FailureRule(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        AccessDenied,
        "the key of {host} is not the one that is known",
        "somebody may be listening in; when the change is genuine: ssh-keygen -R {host}",
    ),
    FailureRule(
        r"Host key verification failed|No \S+ host key is known",
        AccessDenied,
        "the key of {host} is not known yet",
        "connect once and compare it: ssh {host}",
    ),
    FailureRule(
        r"Permission denied \(([^)]*)\)|Too many authentication failures",
        AccessDenied,
        "{host} knows none of your keys",
        "give it your public key (ssh-copy-id), or check the user in the address: ssh -v {host}",
    ),
    FailureRule(
        r"ssh: not found|cannot run ssh|error: cannot run .*ssh",
        TransferError,
        "there is no ssh",
        "sudo apt install openssh-client",
    ),
    FailureRule(
        r"kex_exchange_identification|Connection (?:closed|reset) by .* port|ssh_exchange_identification",
        Unreachable,
        "{host} closed the connection before anything was said",
        "it may be busy or no ssh server; try again: ssh -v {host}",
    ),
    FailureRule(
        r"git-(?:upload|receive)-pack: (?:command )?not found",
        TransferError,
        "there is no git on {host}",
        "install git there",
    ),
    FailureRule(
        r"detected dubious ownership in repository at '([^']*)'",
        AccessDenied,
        "the repository {address} belongs to somebody else",
        "if you trust them: git config --global --add safe.directory {path}",
    ),
    FailureRule(
        r"could not read (?:Username|Password)|terminal prompts disabled",
        AccessDenied,
        "{host} wants a user and a password",
        "set up a credential helper (git help credentials), or run the command in a terminal",
    ),
    FailureRule(
        r"Authentication failed|returned error: 401|HTTP 401",
        AccessDenied,
        "{host} does not accept this user and password",
        "correct them in your credential helper: git help credentials",
    ),
    FailureRule(
        r"returned error: 407|HTTP 407",
        AccessDenied,
        "the proxy wants a password",
        "see http.proxy in: git help config",
    ),
    FailureRule(
        r"returned error: 403|HTTP 403|Permission to \S+ denied|You are not allowed|not permitted to",
        AccessDenied,
        "{host} forbids it",
        "ask its owner for access, or check with which user you come",
    ),
    FailureRule(
        r"returned error: 413|HTTP 413",
        TransferError,
        "the server takes no request of this size (HTTP 413)",
        "push in smaller steps (envgit config envgit.pushLimit SIZE), or use ssh",
    ),
    FailureRule(
        r"returned error: 429|HTTP 429",
        TransferError,
        "{host} gets too many requests (HTTP 429)",
        "wait a while, then try again",
    ),
    FailureRule(
        r"(?:returned error: |HTTP )(5\d\d)",
        TransferError,
        "the server failed (HTTP {1})",
        "try again later; its owner sees why in its log",
    ),
    FailureRule(
        r"insufficient permission|unable to create temporary (?:object directory|file)|"
        r"unable to open object|cannot mkdir",
        AccessDenied,
        "the repository {address} may not be written by you",
        "ask its owner for access: git help init, --shared",
    ),
    FailureRule(
        r"(?i)repository '?[^'\n]*'? ?not found|does not appear to be a git repository|"
        r"not a git repository|returned error: 404|"
        r"HTTP 404|project you were looking for could not be found|No such file or directory|does not exist",
        NoSuchRepository,
        "there is no repository at {address}",
        _CHECK_ADDRESS,
    ),
    FailureRule(
        r"SSL|certificate|TLS|GnuTLS|gnutls",
        AccessDenied,
        "the certificate or encryption of {host} is not trusted",
        "see http.sslCAInfo in: git help config",
    ),
    FailureRule(
        r"transport '([^']*)' not allowed|protocol '([^']*)' not supported|Protocol \"?\S+\"? (?:not supported|disabled)|"
        r"Unsupported protocol",
        AccessDenied,
        "the way to {address} leads over a protocol that is not allowed",
        "see url.*.insteadOf in your git configuration, and GIT_ALLOW_PROTOCOL",
    ),
    FailureRule(
        r"Maximum \(\d+\) redirects|unable to update url base from redirection|redirect",
        ProtocolViolation,
        "{host} sends us elsewhere in a way that cannot be followed",
        _CHECK_ADDRESS,
    ),
    FailureRule(
        r"not our ref|unadvertised object|no such remote ref|couldn't find remote ref|"
        r"remote error: upload-pack: not our ref",
        RemoteMoved,
        "{address} changed while it was read",
        "run the command again",
    ),
    FailureRule(
        r"[Nn]o space left on device|Disk quota exceeded",
        TransferError,
        "there is no space left on the disk",
        "free some space (envgit gc helps), then run the command again",
    ),
    FailureRule(
        r"File too large|maximum allowed size|SIGXFSZ|died of signal 25",
        TransferError,
        "what comes is larger than the space that is left",
        "free some space, then run the command again",
    ),
    FailureRule(
        r"out of memory|memory exhausted|Cannot allocate memory|mmap failed|died of signal 9",
        TransferError,
        "there was not enough memory for what came",
        "if you trust the server, fetch less at once: --depth",
    ),
    FailureRule(
        r"died of signal 24",
        TransferError,
        "what came took too long to check",
        "if you trust the server, fetch less at once: --depth",
    ),
    FailureRule(
        r"lacks these prerequisite|Repository lacks",
        MissingPrerequisite,
        "the bundle builds on commits that are not here",
        "get them first, or ask for a bundle of everything",
    ),
    FailureRule(
        r"fsck error|bad object|missing (?:blob|tree|commit)|did not (?:send|receive) all necessary|"
        r"index-pack (?:failed|abnormal)|invalid index-pack|"
        r"pack (?:has|is|signature)|inflate|corrupt|bad pack|unresolved delta|serious inflate|"
        r"premature end of pack|packfile",
        ProtocolViolation,
        "what {address} sent is damaged, or no environment",
        "try again; if it stays: git -C REPOSITORY fsck --strict, there",
    ),
    FailureRule(
        r"shallow update not allowed|shallow (?:file|info)",
        TransferError,
        "the history there is cut short, and cannot be joined with this one",
        "fetch the whole history: envgit fetch --unshallow",
    ),
    FailureRule(
        r"early EOF|unexpected disconnect|hung up unexpectedly|Connection reset|Broken pipe|"
        r"RPC failed|transfer closed|Empty reply|"
        r"unexpected EOF|end of file|GnuTLS recv|curl \d+|disconnect",
        Unreachable,
        "the connection to {host} broke",
        "run the command again; nothing was changed here",
    ),
    FailureRule(
        r"protocol error|expected flush|bad line length|invalid (?:ls-refs|ref|server) response|"
        r"unknown (?:object format|capabilit|response)|"
        r"unexpected (?:line|flush|ls-refs|acknowledg)|valid git repository|garbage|"
        r"bad band|server response|expected (?:ACK|SHA|shallow|'|packfile|service|no other|response)|"
        r"mismatched algorithms|could not parse|malformed",
        ProtocolViolation,
        "{address} does not speak git's protocol as it must",
        "check that the address is one of a git repository",
    ),
)
