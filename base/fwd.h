#pragma once
// Forward declarations of the base room; headers include this, sources include what they use.
namespace base {
enum class ErrorKind : unsigned char;
struct Error;
template <class T>
class Result;
class UniqueFd;
class Fd;
}  // namespace base
