# Where tools keep what they install, and how it is published. Sourced, not run: the caller sets `tool` first.
#
# A tool has one directory per key (its versions, and the machine's). It is filled under a temporary name, and
# published by hard-linking a small pointer file that names it. Only one of several runs can do that: so a
# half-made directory is never used, and a run that came second uses what the first has made.
#
#   cache_open KEY       the cache, and in it the pointer of this key
#   cache_path FILE      the path of a file in the published directory; fails if there is none
#   cache_begin          a new directory $made and a $log beside it; both go when the script ends…
#   cache_publish        …unless this made the directory the published one
#   persist COMMAND…     runs it into the $log, in CI again and again: a registry may be away for minutes

say() { echo "$tool: $*" >&2; }
fail() { say "$*"; exit 1; }

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
checkout=$(pwd -P)

# SILTSTONE_CACHE; else beside the cargo target, if that is outside the checkout; else the user's cache.
cache_dir() {
  if [[ -n ${SILTSTONE_CACHE:-} ]]; then
    echo "$SILTSTONE_CACHE"
    return
  fi
  if [[ -n ${CARGO_TARGET_DIR:-} ]]; then
    local beside
    mkdir -p -- "$CARGO_TARGET_DIR"
    beside=$(cd -- "$CARGO_TARGET_DIR/.." && pwd -P)
    case "$beside/" in
      "$checkout"/*) ;;
      *) echo "${beside%/}/siltstone-cache"; return ;;
    esac
  fi
  echo "${XDG_CACHE_HOME:-${HOME:?is not set, nor is SILTSTONE_CACHE}/.cache}/siltstone"
}

cache_open() { # key
  cache=$(cache_dir)
  mkdir -p -- "$cache"
  cache=$(cd -- "$cache" && pwd -P)
  key=$1
  pointer="$cache/$key"
}

cache_path() { # file
  [[ -f $pointer ]] || return 1
  local path
  path="$cache/$(<"$pointer")/$1"
  [[ -e $path ]] || return 1
  echo "$path"
}

cache_begin() {
  say "creating $key"
  rm -f -- "$pointer"
  made=$(mktemp -d -- "$cache/$key.XXXXXX")
  log="$made.log"
  trap 'rm -rf -- "$made" "$log"' EXIT
}

cache_publish() {
  basename -- "$made" >"$log"
  if ln -- "$log" "$pointer" 2>/dev/null; then
    trap 'rm -f -- "$log"' EXIT
  fi # else another run was first: use that one, drop ours
}

persist() { # command…
  local pause pauses=(5 "")
  [[ ${CI:-} != true ]] || pauses=(15 30 60 120 240 "")
  for pause in "${pauses[@]}"; do
    "$@" >"$log" 2>&1 && return 0
    tail -n 20 -- "$log" >&2
    [[ -n $pause ]] || return 1
    say "again in $pause s"
    sleep "$pause"
  done
}
