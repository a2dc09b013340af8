# Install Node.js packages as `npm install -g` does: npm.sh MODE MOVING SPEC...
#
# MODE: newest, locked (exactly what /run/envgit/pins lists), or prefer (those where that is possible).
# MOVING is not looked at.
# Leaves what it installed in /run/envgit/packages. Two runs over equal trees and registries leave equal trees.
set -eu
umask 022
mode=$1
shift 2
state=/run/envgit/npm
export LC_ALL=C.UTF-8 NODE_NO_WARNINGS=1 npm_config_update_notifier=false npm_config_audit=false npm_config_fund=false
export npm_config_cache="$state/cache" npm_config_logs_max=0 npm_config_progress=false

fail() {
    echo "envgit: $*" >&2
    exit 1
}

command -v npm >/dev/null && command -v node >/dev/null ||
    fail "there is no npm in this environment: packages.npm needs it (Debian: packages.apt = [\"npm\"])"
[ ! -r /run/secrets/ca-certificates ] || export NODE_EXTRA_CA_CERTS=/run/secrets/ca-certificates
[ ! -r /run/secrets/npmrc ] || export npm_config_userconfig=/run/secrets/npmrc
root=$(npm root -g)
bin=$(npm prefix -g)/bin
rm -rf "$state"
mkdir -p "$root" "$bin"
: >/run/envgit/packages
# Beside where they are going to be: a package is moved there as a whole.
work=$root/.envgit
rm -rf "$work"
mkdir -p "$work" "$state"
trap 'rm -rf "$work" "$state"' EXIT

cat >"$state/plan.js" <<'END'
// What is asked for as package.json. Pins: exact versions of what is asked for, overrides of what that needs.
const fs = require("fs");
const [mode, work, ...specs] = process.argv.slice(2);
const pins = new Map();
if (mode !== "newest")
  for (const line of fs.readFileSync("/run/envgit/pins", "utf8").split("\n").filter(Boolean)) {
    const [, path, version] = line.split("\t");
    pins.set(path, version);
  }
const dependencies = {}, overrides = {};
for (const spec of specs) {
  const at = spec.indexOf("@", 1);
  const name = at < 0 ? spec : spec.slice(0, at);
  const wanted = at < 0 ? "*" : spec.slice(at + 1);
  dependencies[name] = pins.get(name) ?? wanted;
}
for (const [path, version] of pins) {
  const names = path.split("/node_modules/");
  if (names.length < 2 || !(names[0] in dependencies)) continue;
  let at = overrides;
  for (const name of names.slice(0, -1)) {
    if (typeof at[name] !== "object") at[name] = name in at ? { ".": at[name] } : {};
    at = at[name];
  }
  const last = names[names.length - 1];
  if (typeof at[last] === "object") at[last]["."] = version;
  else at[last] = version;
}
fs.writeFileSync(`${work}/package.json`, JSON.stringify({ private: true, dependencies, overrides }, null, 2));
END

try() {
    how=$1
    shift
    rm -rf "$work/node_modules" "$work/package-lock.json"
    node "$state/plan.js" "$how" "$work" "$@" && npm install --prefix "$work" --install-strategy=shallow --omit=dev --loglevel=warn
}
case $mode in
prefer)
    try prefer "$@" || {
        echo "envgit: not everything can stay at its version" >&2
        try newest "$@"
    }
    ;;
*) try "$mode" "$@" ;;
esac || fail "npm install failed"

cat >"$state/finish.js" <<'END'
const fs = require("fs"), path = require("path");
const [mode, work, root, bin] = process.argv.slice(2);
const locked = JSON.parse(fs.readFileSync(`${work}/package-lock.json`, "utf8")).packages;
const lines = Object.entries(locked)
  .filter(([at, entry]) => at && !entry.link && fs.existsSync(`${work}/${at}`))
  .map(([at, entry]) => ["npm", at.replace(/^node_modules\//, ""), entry.version ?? "0", "", entry.integrity ?? ""].join("\t"))
  .sort();
if (mode === "locked") {
  const pins = fs.readFileSync("/run/envgit/pins", "utf8").split("\n").filter(Boolean);
  const of = (list) => new Map(list.map((line) => [line.split("\t")[1], line.split("\t")]));
  const [had, have] = [of(pins), of(lines)];
  const differences = [];
  for (const [name, [, , version, , hash]] of have) {
    const pin = had.get(name);
    if (!pin) differences.push(`${name} ${version} is not in the lock`);
    else if (pin[2] !== version) differences.push(`${name} ${pin[2]} is locked; the registry has ${version}`);
    else if (pin[4] && pin[4] !== hash) differences.push(`${name} ${version} is another file: ${hash}, locked is ${pin[4]}`);
  }
  for (const [name, [, , version]] of had)
    if (!have.has(name)) differences.push(`${name} ${version} is locked, and would not be installed`);
  if (differences.length) {
    console.error("envgit: these packages are not what is locked:");
    for (const each of differences) console.error(`envgit:   ${each}`);
    process.exit(1);
  }
}
const wanted = Object.keys(JSON.parse(fs.readFileSync(`${work}/package.json`, "utf8")).dependencies);
for (const name of wanted) {
  const target = path.join(root, name);
  fs.rmSync(target, { recursive: true, force: true });
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.renameSync(path.join(work, "node_modules", name), target);
}
const links = path.join(work, "node_modules", ".bin");
for (const name of fs.existsSync(links) ? fs.readdirSync(links).sort() : []) {
  const inside = path.relative(path.join(work, "node_modules"), path.resolve(links, fs.readlinkSync(path.join(links, name))));
  const link = path.join(bin, name);
  fs.rmSync(link, { force: true });
  fs.symlinkSync(path.relative(bin, path.join(root, inside)), link);
}
fs.writeFileSync("/run/envgit/packages", lines.map((line) => line + "\n").join(""));
END
node "$state/finish.js" "$mode" "$work" "$root" "$bin"
