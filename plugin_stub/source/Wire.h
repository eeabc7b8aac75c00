// Requests and replies of the control protocol, and the connection that carries them. Control thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <msgpack.hpp>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

namespace jackdaw {

// A map with text keys, being filled.
class Map {
  public:
    template <class T>
    Map& add(const std::string& name, const T& value) {
        fields_.insert_or_assign(name, msgpack::object(value, *zone_));
        return *this;
    }
    Map& addBytes(const std::string& name, const std::string& bytes);
    Map& add(const std::string& name, const Map& map);
    Map& add(const std::string& name, const std::vector<Map>& list);
    bool isEmpty() const { return fields_.empty(); }
    std::string packed() const;

  private:
    void keep(const Map& other);
    std::shared_ptr<msgpack::zone> zone_ = std::make_shared<msgpack::zone>();
    std::vector<std::shared_ptr<msgpack::zone>> others_; // of maps within this one
    std::map<std::string, msgpack::object> fields_;
};

// A value that came over the wire. Looking up what is not there gives a null; no function throws.
class Value {
  public:
    Value() = default;
    explicit Value(msgpack::object object) : object_(object) {}
    Value operator[](const char* name) const;
    std::vector<Value> items() const;
    std::string text(const std::string& otherwise = {}) const; // also of bytes
    double number(double otherwise = 0.0) const;
    bool isTrue() const { return object_.type == msgpack::type::BOOLEAN && object_.via.boolean; }
    bool isNull() const { return object_.is_nil(); }

  private:
    msgpack::object object_;
};

// A message that came over the wire, whole.
struct Message {
    std::shared_ptr<msgpack::object_handle> owner;
    Value body;
    static std::optional<Message> unpack(const void* data, size_t size);
};

struct Reply {
    Message message;
    bool ok = false;
    std::string code, error; // if not ok
    Value operator[](const char* name) const { return message.body[name]; }
};

class Connection {
  public:
    explicit Connection(const std::string& address); // both may throw zmq::error_t
    void subscribe(const std::string& address, const std::string& topic);

    uint64_t send(const std::string& operation, Map fields); // the request's number
    std::optional<Reply> receive(uint64_t number);           // never waits; replies to other requests are dropped
    std::optional<Message> hear();                           // telemetry; never waits

    void* requests() { return requests_.handle(); }
    void* telemetry() { return telemetry_ ? telemetry_->handle() : nullptr; }
    void close(int lingerMs);

  private:
    std::shared_ptr<zmq::context_t> context_;
    zmq::socket_t requests_;
    std::optional<zmq::socket_t> telemetry_;
    uint64_t number_ = 0;
};

} // namespace jackdaw
