# Environments of the other scripts, which source this file.

# check_python FOLDER VERSION...: end with a message unless the environment in FOLDER has a Python of one of these versions.
# Where there is no environment yet, the Python that would make it is checked.
check_python() {
  local folder=$1 python=$1/bin/python version
  shift
  [ -x "$python" ] || python=${PYTHON:-python3}
  if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); then
    echo "$python does not run. Set PYTHON to a Python of one of these versions: $*" >&2
    exit 2
  fi
  case " $* " in
    *" $version "*) return ;;
  esac
  {
    echo "$python is Python $version. This script needs one of these versions: $*"
    [ "$python" != "$folder/bin/python" ] || echo "Remove the folder $folder, which an earlier call made."
    echo "Install one of them and name it, as in: PYTHON=python3.12 bash $0"
  } >&2
  exit 2
}

# install FOLDER CONSTRAINTS PACKAGE...: make an environment, if it is not there, and install acz into it.
install() {
  local folder=$1 constraints=$2
  shift 2
  [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
  echo "installing $* into $folder ..."
  # Python compiles what is imported when it is imported first: that is much less than what pip would compile.
  "$folder/bin/pip" install --quiet --no-compile --disable-pip-version-check --constraint "$constraints" --editable "$@"
}
