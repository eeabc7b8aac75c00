// What a user chose beside the parameters: model, seed and prompts. Plain values; who holds them guards them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "Parameters.h"

namespace jackdaw {

struct Prompt {
    std::string text;      // a style in words, or
    std::string audio;     // path of a file whose style is meant
    std::string embedding; // float32s as the engine made them of it; may be missing
    std::string modelHash; // of the model that made the embedding

    bool isEmpty() const { return text.empty() && audio.empty(); }
    bool sameSource(const Prompt& other) const { return text == other.text && audio == other.audio; }
};

struct Settings {
    std::string model;
    int64_t seed = 0;
    std::array<Prompt, promptCount> prompts;
};

} // namespace jackdaw
