#include "engine/logs/format.h"

#include <catch2/catch.hpp>

using namespace engine::logs;

namespace {

constexpr std::int64_t noon = 1795348839402178000;  // 2026-11-22T12:00:39.402178Z

std::string format(Driver driver, std::string_view bytes, bool at_end = false, std::size_t* used = nullptr) {
  std::string out;
  const auto count = format_records(driver, Stream::out, noon, bytes, at_end, out);
  if (used) *used = count;
  return out;
}

}  // namespace

TEST_CASE("times are written with nine digits and read back with any number of them", "[logs]") {
  CHECK(format_time(noon) == "2026-11-22T12:00:39.402178000Z");
  CHECK(parse_time("2026-11-22T12:00:39.402178000Z") == noon);
  CHECK(parse_time("2026-11-22T12:00:39.402178Z") == noon);
  CHECK(parse_time("2026-11-22T14:00:39.402178+02:00") == noon);
  CHECK(parse_time("2026-11-22T12:00:39Z") == 1795348839000000000);
  CHECK(parse_time("1970-01-01T00:00:00Z") == 0);
  for (const auto* bad : {"", "2026", "2026-13-01T00:00:00Z", "2026-11-22T12:00:39", "2026-11-22T25:00:39Z",
                          "2026-11-22T12:00:39.Z", "2026-11-22 12:00:39Z", "9999-01-01T00:00:00Z"})
    CHECK(parse_time(bad) == -1);
}

TEST_CASE("complete lines become CRI records and an unfinished one waits", "[logs]") {
  std::size_t used = 0;
  CHECK(format(Driver::cri, "one\n\ntwo\nthr", false, &used) ==
        "2026-11-22T12:00:39.402178000Z stdout F one\n2026-11-22T12:00:39.402178000Z stdout F \n"
        "2026-11-22T12:00:39.402178000Z stdout F two\n");
  CHECK(used == 9);
  CHECK(format(Driver::cri, "thr", true) == "2026-11-22T12:00:39.402178000Z stdout F thr\n");
  CHECK(format(Driver::cri, "", true).empty());
}

TEST_CASE("a line of more than 16 KiB is written in pieces that join to the same text", "[logs]") {
  for (const auto driver : {Driver::cri, Driver::json_file}) {
    for (const std::string unit : {"x", "é", "€", "😀", "\x80"}) {
      std::string text;
      while (text.size() < 40000) text += unit;
      const auto records = format(driver, text + "\n");
      std::string joined, scratch;
      std::size_t start = 0, pieces = 0;
      Record record;
      while (start < records.size()) {
        const auto end = records.find('\n', start);
        REQUIRE(parse_record(std::string_view(records).substr(start, end - start), record, scratch));
        joined += record.text;
        ++pieces;
        start = end + 1;
        CHECK(record.partial == (start < records.size()));
      }
      CHECK(pieces == 3);
      if (unit != "\x80") CHECK(joined == text);
      else if (driver == Driver::json_file) CHECK(joined.substr(0, 3) == "\xef\xbf\xbd");
    }
  }
}

TEST_CASE("an unfinished line gives up pieces of 16 KiB before its end is known", "[logs]") {
  std::size_t used = 0;
  const auto records = format(Driver::cri, std::string(16 * 1024 + 1, 'x'), false, &used);
  CHECK(used == 16 * 1024);
  CHECK(records.find(" P xxx") != std::string::npos);
  (void)format(Driver::cri, std::string(16 * 1024, 'x'), false, &used);
  CHECK(used == 0);
}

TEST_CASE("json-file records are Docker's", "[logs]") {
  CHECK(format(Driver::json_file, "a\"b\\<\t\x01\r\xff\xe2\x80\xa8\n") ==
        R"({"log":"a\"b\\\u003c\t\u0001\r\ufffd\u2028\n","stream":"stdout","time":"2026-11-22T12:00:39.402178Z"})"
        "\n");
  CHECK(format(Driver::json_file, "end", true) ==
        R"({"log":"end","stream":"stdout","time":"2026-11-22T12:00:39.402178Z"})"
        "\n");
}

TEST_CASE("records are read back whatever their format", "[logs]") {
  Record record;
  std::string scratch;
  REQUIRE(parse_record("2026-11-22T12:00:39.402178000Z stderr P half", record, scratch));
  CHECK(record.time_ns == noon);
  CHECK(record.stream == Stream::err);
  CHECK(record.partial);
  CHECK(record.text == "half");
  REQUIRE(parse_record(R"({"log":"caf\u00e9 \ud83d\ude00\n","stream":"stderr","attrs":{"a":"}"},"time":"2026-11-22T12:00:39.402178Z"})",
                       record, scratch));
  CHECK(record.text == "café 😀");
  CHECK(record.stream == Stream::err);
  CHECK_FALSE(record.partial);
}

TEST_CASE("torn and foreign lines are no records", "[logs]") {
  Record record;
  std::string scratch;
  for (const auto* bad : {"", "x", "{", "{\"log\":\"a", "{\"log\":\"a\\n\"}", "{\"log\":\"\\u12\"}", "{\"log\":[1,2",
                          "2026-11-22T12:00:39.402178000Z", "2026-11-22T12:00:39.402178000Z stdout",
                          "2026-11-22T12:00:39.402178000Z stdout X text", "2026-11-22T12:00:39Z stdxxx F t"})
    CHECK_FALSE(parse_record(bad, record, scratch));
}

TEST_CASE("log options are honoured or refused", "[logs]") {
  const auto defaults = parse_settings("", {});
  REQUIRE(defaults);
  CHECK(*defaults == Settings{Driver::cri, 10 << 20, 3});
  const auto set = parse_settings("json-file", {{"max-size", "1.5k"}, {"max-file", "7"}});
  REQUIRE(set);
  CHECK(*set == Settings{Driver::json_file, 1536, 7});
  CHECK(parse_settings("local", {{"max-size", "-1"}})->max_size_bytes == -1);
  CHECK(parse_settings("local", {{"max-size", "10MB"}})->max_size_bytes == 10 << 20);
  CHECK(parse_settings("none", {})->driver == Driver::none);
  CHECK_FALSE(parse_settings("syslog", {}));
  CHECK_FALSE(parse_settings("", {{"max-size", "ten"}}));
  CHECK_FALSE(parse_settings("", {{"max-file", "0"}}));
  CHECK_FALSE(parse_settings("", {{"labels", "a"}}));
}
