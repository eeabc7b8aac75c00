#include "Starter.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <vector>

#ifndef JACKDAW_COMMAND
#define JACKDAW_COMMAND ""
#endif

extern char** environ;

namespace jackdaw {
namespace {

namespace fs = std::filesystem;
constexpr auto again = std::chrono::seconds(30); // for an engine that was started to answer

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

// The folder of the sockets, made if it is missing, and ours alone.
fs::path runtimeFolder() {
    const std::string runtime = variable("XDG_RUNTIME_DIR");
    const fs::path folder = runtime.empty() ? fs::path("/tmp/jackdaw-" + std::to_string(geteuid())) : fs::path(runtime) / "jackdaw";
    std::error_code ignored; // what is wrong shows below
    fs::create_directories(folder.parent_path(), ignored);
    mkdir(folder.c_str(), 0700);
    struct stat seen {};
    if (lstat(folder.c_str(), &seen) != 0 || !S_ISDIR(seen.st_mode) || seen.st_uid != geteuid() || (seen.st_mode & 077U) != 0)
        throw std::runtime_error(folder.string() + " is not a folder of this user alone: remove it, or `chmod 700` it");
    return folder;
}

bool isProgram(const fs::path& path) {
    std::error_code error;
    return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

fs::path logFile() {
    const std::string state = variable("XDG_STATE_HOME");
    const fs::path folder = (state.empty() ? fs::path(variable("HOME")) / ".local" / "state" : fs::path(state)) / "jackdaw";
    std::error_code ignored; // then the log cannot be opened, and goes to /dev/null
    fs::create_directories(folder, ignored);
    const fs::path log = folder / "engine.log";
    const int probe = open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (probe < 0) return "/dev/null";
    close(probe);
    return log;
}

// The environment without what a host set for itself alone: libraries and Python of its own would break the engine's.
std::vector<char*> cleanEnvironment() {
    std::vector<char*> clean;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        bool keep = true;
        for (const char* name : {"LD_PRELOAD=", "LD_LIBRARY_PATH=", "PYTHONHOME=", "PYTHONPATH="})
            keep = keep && std::strncmp(*entry, name, std::strlen(name)) != 0;
        if (keep) clean.push_back(*entry);
    }
    clean.push_back(nullptr);
    return clean;
}

// Run it in a session of its own; a shell in between leaves it to the system's first process. 0, or an errno.
int spawnDetached(const std::string& command) {
    const std::string log = logFile().string();
    std::vector<std::string> words = {"/bin/sh", "-c", "exec \"$0\" \"$@\" &", command, "serve",
                                      "--engine", "engine", "--until-unused", "5"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<char*> environment = cleanEnvironment();

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_APPEND, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t shell = 0;
    const int error = posix_spawn(&shell, "/bin/sh", &actions, &attributes, arguments.data(), environment.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0)
        while (waitpid(shell, nullptr, 0) < 0 && errno == EINTR) {}
    return error;
}

} // namespace

Starter::~Starter() { letGo(); }

void Starter::letGo() {
    if (turn_ >= 0) close(turn_);
    turn_ = -1;
}

std::string Starter::address() { return "ipc://" + (runtimeFolder() / "engine.sock").string(); }

std::string Starter::command() {
    const fs::path told = variable("JACKDAW");
    if (!told.empty()) return isProgram(told) ? told.string() : std::string();
    std::vector<fs::path> candidates;
    const std::string path = variable("PATH");
    for (size_t at = 0; at <= path.size();) {
        const size_t end = std::min(path.find(':', at), path.size());
        if (end > at) candidates.push_back(fs::path(path.substr(at, end - at)) / "jackdaw");
        at = end + 1;
    }
    candidates.push_back(fs::path(variable("HOME")) / ".local" / "bin" / "jackdaw");
    candidates.emplace_back(JACKDAW_COMMAND);
    for (const fs::path& candidate : candidates)
        if (isProgram(candidate)) return candidate.string();
    return {};
}

bool Starter::lives() const {
    const int descriptor = open((runtimeFolder() / "engine.lock").c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    const bool held = flock(descriptor, LOCK_SH | LOCK_NB) != 0;
    close(descriptor);
    return held;
}

Starter::Outcome Starter::look(std::string& text) {
    if (lives()) {
        letGo();
        return Outcome::lives;
    }
    const auto now = std::chrono::steady_clock::now();
    if (turn_ >= 0 && now - startedAt_ < again) return Outcome::wait;
    const std::string program = command();
    if (program.empty()) {
        letGo();
        text = "The command `jackdaw` was not found: install it, or set JACKDAW to its path.";
        return Outcome::noCommand;
    }
    if (turn_ < 0) {
        turn_ = open((runtimeFolder() / "engine.start").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (turn_ < 0 || flock(turn_, LOCK_EX | LOCK_NB) != 0) {
            letGo();
            return Outcome::wait; // another instance is starting it
        }
        if (lives()) { // it came up between the two looks
            letGo();
            return Outcome::lives;
        }
    }
    startedAt_ = now;
    if (const int error = spawnDetached(program); error != 0) {
        text = program + " could not be started: " + std::strerror(error);
        letGo();
        return Outcome::failed;
    }
    return Outcome::started;
}

} // namespace jackdaw
