#pragma once
// Precompiled by every test: the standard headers and the test framework.
#include "base/pch.h"

#include <catch2/catch.hpp>
