#include "Wire.h"

#include <mutex>

namespace jackdaw {
namespace {

constexpr int protocolVersion = 1;
constexpr int64_t mostBytes = 4 << 20;

// One context with one thread for all instances in a process; it ends with the last.
std::shared_ptr<zmq::context_t> sharedContext() {
    static std::mutex mutex;
    static std::weak_ptr<zmq::context_t> shared;
    const std::lock_guard lock(mutex);
    auto context = shared.lock();
    if (context == nullptr) {
        context = std::make_shared<zmq::context_t>(1);
        shared = context;
    }
    return context;
}

} // namespace

void Map::keep(const Map& other) {
    others_.push_back(other.zone_);
    others_.insert(others_.end(), other.others_.begin(), other.others_.end());
}

Map& Map::addBytes(const std::string& name, const std::string& bytes) {
    return add(name, msgpack::type::raw_ref(bytes.data(), static_cast<uint32_t>(bytes.size())));
}

Map& Map::add(const std::string& name, const Map& map) {
    keep(map);
    return add(name, map.fields_);
}

Map& Map::add(const std::string& name, const std::vector<Map>& list) {
    std::vector<std::map<std::string, msgpack::object>> items;
    for (const Map& map : list) {
        keep(map);
        items.push_back(map.fields_);
    }
    return add(name, items);
}

std::string Map::packed() const {
    msgpack::sbuffer buffer;
    msgpack::pack(buffer, fields_);
    return {buffer.data(), buffer.size()};
}

Value Value::operator[](const char* name) const {
    if (object_.type == msgpack::type::MAP)
        for (const auto& pair : object_.via.map)
            if (Value(pair.key).text() == name) return Value(pair.val);
    return {};
}

std::vector<Value> Value::items() const {
    std::vector<Value> found;
    if (object_.type == msgpack::type::ARRAY)
        for (const auto& item : object_.via.array) found.emplace_back(item);
    return found;
}

std::string Value::text(const std::string& otherwise) const {
    if (object_.type == msgpack::type::STR) return {object_.via.str.ptr, object_.via.str.size};
    if (object_.type == msgpack::type::BIN) return {object_.via.bin.ptr, object_.via.bin.size};
    return otherwise;
}

double Value::number(double otherwise) const {
    switch (object_.type) {
        case msgpack::type::POSITIVE_INTEGER: return static_cast<double>(object_.via.u64);
        case msgpack::type::NEGATIVE_INTEGER: return static_cast<double>(object_.via.i64);
        case msgpack::type::FLOAT32:
        case msgpack::type::FLOAT64: return object_.via.f64;
        default: return otherwise;
    }
}

std::optional<Message> Message::unpack(const void* data, size_t size) {
    try {
        Message message;
        message.owner = std::make_shared<msgpack::object_handle>(msgpack::unpack(static_cast<const char*>(data), size));
        message.body = Value(message.owner->get());
        return message;
    } catch (const std::exception&) { // not msgpack: as good as not sent
        return std::nullopt;
    }
}

Connection::Connection(const std::string& address) : context_(sharedContext()), requests_(*context_, zmq::socket_type::dealer) {
    requests_.set(zmq::sockopt::linger, 0);
    requests_.set(zmq::sockopt::maxmsgsize, mostBytes);
    requests_.set(zmq::sockopt::sndtimeo, 0);
    requests_.connect(address);
}

void Connection::subscribe(const std::string& address, const std::string& topic) {
    telemetry_.emplace(*context_, zmq::socket_type::sub);
    telemetry_->set(zmq::sockopt::linger, 0);
    telemetry_->set(zmq::sockopt::maxmsgsize, mostBytes);
    telemetry_->set(zmq::sockopt::rcvhwm, 50);
    telemetry_->set(zmq::sockopt::subscribe, topic);
    telemetry_->connect(address);
}

uint64_t Connection::send(const std::string& operation, Map fields) {
    fields.add("v", protocolVersion).add("id", ++number_).add("op", operation);
    const std::string bytes = fields.packed();
    requests_.send(zmq::buffer(bytes), zmq::send_flags::dontwait);
    return number_;
}

std::optional<Reply> Connection::receive(uint64_t number) {
    zmq::message_t frame;
    while (requests_.recv(frame, zmq::recv_flags::dontwait)) {
        auto message = Message::unpack(frame.data(), frame.size());
        if (!message || static_cast<uint64_t>(message->body["id"].number()) != number) continue;
        Reply reply;
        reply.ok = message->body["ok"].isTrue();
        reply.code = message->body["error"]["code"].text();
        reply.error = message->body["error"]["text"].text();
        reply.message = std::move(*message);
        return reply;
    }
    return std::nullopt;
}

std::optional<Message> Connection::hear() {
    if (!telemetry_) return std::nullopt;
    zmq::message_t topic, body;
    std::optional<Message> newest;
    while (telemetry_->recv(topic, zmq::recv_flags::dontwait)) {
        if (!topic.more() || !telemetry_->recv(body, zmq::recv_flags::dontwait)) continue;
        if (auto message = Message::unpack(body.data(), body.size())) newest = std::move(message);
    }
    return newest;
}

void Connection::close(int lingerMs) {
    requests_.set(zmq::sockopt::linger, lingerMs);
    requests_.close();
    telemetry_.reset();
}

} // namespace jackdaw
